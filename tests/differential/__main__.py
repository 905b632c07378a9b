from tests.differential.soak import main

main()

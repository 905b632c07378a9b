"""Walks the orders in which concurrent work on one table can happen, on a twin of it in memory.

The real loading code runs on the real state database. Each actor (a load, an undo, ...) is a
greenlet that stops before every step that another actor can see: a transaction of the state, an
operation of the table, a look at the source. A schedule says who goes on for how many steps.
"""

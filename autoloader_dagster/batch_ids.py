"""Ids of batches, and what is named after them: attempts and their branches.

An id is ``20261127T093015Z-4f9a1c``: the UTC time of the claim, and six hexadecimal digits.
"""

import re
import secrets
from datetime import datetime
from typing import NewType

BatchId = NewType("BatchId", str)
# Of rows that no batch has loaded.
NO_BATCH = BatchId("")

BRANCH_PREFIX = "autoloader_"
_OF_BATCH = re.compile(rf"{BRANCH_PREFIX}(\d{{8}}t\d{{6}}z)_([0-9a-f]{{6}})_\d+")


def new_batch_id(moment: datetime) -> BatchId:
    """An id for a batch that is claimed now.

    Args:
        moment: Now, in UTC.
    """
    return BatchId(f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")


def attempt_name(batch_id: BatchId, attempt: int) -> str:
    """What the snapshots of an attempt carry."""
    return f"{batch_id}_{attempt}"


def branch_name(batch_id: BatchId, attempt: int) -> str:
    """The branch of one attempt, a name that no other attempt ever has."""
    return f"{BRANCH_PREFIX}{batch_id.replace('-', '_').lower()}_{attempt}"


def batch_of_branch(branch: str) -> BatchId | None:
    """The batch of an attempt's branch; None for a branch that is not ours."""
    found = _OF_BATCH.fullmatch(branch)
    return BatchId(f"{found[1].upper()}-{found[2]}") if found else None

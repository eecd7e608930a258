"""A real training process, killed at random moments and resumed, ends with the same weights."""

import pytest
from kill_and_resume import kill_and_resume


@pytest.mark.slow
def test_killed_processes_resume_to_the_same_bits():
    result = kill_and_resume(kills=3, engine="torch", epochs=12, seed=1)
    assert result["kills"] == 3
    assert result["sha256_after_kills"] == [result["sha256_uninterrupted"]]

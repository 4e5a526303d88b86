"""The table of states, and every sequence of causes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from homeport.model.service import Condition
from homeport.supervisor.state import ALIVE, FINAL, TABLE, Cause, State, apply, holds

causes = st.lists(st.sampled_from(Cause), max_size=40)
LIVES = {State.STARTING, *ALIVE}


def live(sequence: list[Cause], state: State = State.PENDING) -> State:
    for cause in sequence:
        state = apply(state, cause) or state
    return state


@given(causes)
def test_no_sequence_of_causes_leaves_the_table(sequence: list[Cause]) -> None:
    assert live(sequence) in State


@given(causes)
def test_a_stop_and_the_end_of_the_process_always_lead_to_a_final_state(sequence: list[Cause]) -> None:
    assert live([*sequence, Cause.STOP, Cause.EXITED]) in FINAL


@given(causes)
def test_whatever_lived_is_stopped_after_a_stop(sequence: list[Cause]) -> None:
    state = live(sequence)
    after = live([Cause.STOP, Cause.EXITED], state)
    assert after is (state if state in FINAL else State.STOPPED)


@given(st.sampled_from(sorted(FINAL)), causes)
def test_a_final_state_is_left_by_a_new_beginning_only(state: State, sequence: list[Cause]) -> None:
    assert live([cause for cause in sequence if cause is not Cause.BEGIN], state) is state


@given(causes)
def test_health_is_only_reached_by_a_probe_of_a_running_process(sequence: list[Cause]) -> None:
    state = State.PENDING
    for cause in sequence:
        following = apply(state, cause)
        if following is State.HEALTHY:
            assert cause is Cause.PASSED
            assert state in {State.RUNNING, State.UNHEALTHY}
        state = following or state


@given(causes)
def test_a_process_only_comes_to_be_through_starting(sequence: list[Cause]) -> None:
    state = State.PENDING
    for cause in sequence:
        following = apply(state, cause)
        if following in ALIVE and state not in ALIVE:
            assert state is State.STARTING
        state = following or state


def test_a_stopped_service_ignores_what_comes_too_late() -> None:
    for cause in (Cause.PASSED, Cause.FAILING, Cause.EXITED, Cause.RETRY, Cause.STOP, Cause.SPAWNED):
        assert apply(State.STOPPED, cause) is None


def test_every_state_can_be_reached_and_every_cause_means_something_somewhere() -> None:
    assert {*TABLE.values(), State.PENDING} == set(State)
    assert {cause for _, cause in TABLE} == set(Cause)


def test_conditions_hold_in_these_states_only() -> None:
    table = {condition: {state for state in State if holds(condition, state)} for condition in Condition}
    assert table == {
        Condition.STARTED: {State.RUNNING, State.HEALTHY, State.UNHEALTHY, State.COMPLETED},
        Condition.HEALTHY: {State.HEALTHY},
        Condition.COMPLETED: {State.COMPLETED},
    }

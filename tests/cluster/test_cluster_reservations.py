"""Reservation pods: recognised, counted once, and what is to be done about them."""

import pytest

from kai_py.cluster.reservations import NAMESPACE, PATIENCE_WITH_OTHERS, Reservation, Seat, label_text, name_of
from kai_py.core.tables.pods import PodKey, PodState
from tests.cluster.objects import GPU, NOW, a_store, bind, pod, put

G1 = "gpu-1"


def holding(name="gpu-reservation-a-x", on="a", group=G1, device="", maker="", **more):
    labels = {"runai-gpu-group": group, **({"kai.scheduler/reserved-by": maker} if maker else {})}
    annotations = {"run.ai/reserve_for_gpu_index": device} if device else {}
    return pod(
        name,
        on=on,
        namespace=NAMESPACE,
        foreign=True,
        queue="",
        requests={GPU: 1},
        labels=labels,
        annotations=annotations,
        **more,
    )


def sharing(name, on="a", group=G1, shown="", **more):
    labels = {"runai-gpu-group": group} if on else {}
    annotations = {"gpu-fraction": "0.5", "runai/shared-gpu-configmap": f"{name}-shared-gpu"}
    if shown:
        annotations["kai.scheduler/gpu-devices"] = shown
    return pod(name, on=on, requests={"cpu": "1"}, labels=labels, annotations=annotations, **more)


def gpus_of(snapshot, name):
    """What a pod asks for besides shares, and its state."""
    row = [key.name for key in snapshot.pods.keys].index(name)
    column = snapshot.axis.index[GPU]
    amount = snapshot.classes.request[snapshot.pods.class_idx[row], column]
    return int(amount) // 1000, PodState(snapshot.pods.state[row])


def test_a_name_is_always_the_same_and_fits_a_label():
    seat = Seat("gpu-node-7.example.com", "gpu-19a-0-1")
    assert name_of(seat) == name_of(Seat(*seat))
    assert name_of(seat).startswith("gpu-reservation-gpu-node-7-example-com-")
    assert name_of(seat) != name_of(Seat(seat.node, "gpu-19a-0-2"))
    assert len(name_of(Seat("n" * 250, "g"))) <= 63
    assert label_text("kai-scheduler/left") == "kai-scheduler.left"


@pytest.mark.parametrize(
    "other",
    [
        {"namespace": "elsewhere"},
        {"name": "something"},
        {"labels": {}},
        {"on": ""},
    ],
)
def test_only_pods_of_the_namespace_with_a_name_a_group_and_a_node_are_reservation_pods(other):
    store = a_store()
    one = {"name": "gpu-reservation-x", "namespace": NAMESPACE, "labels": {"runai-gpu-group": G1}, "on": "a"} | other
    assert not store.reservations.covers(pod(one.pop("name"), foreign=True, **one))
    assert store.reservations.covers(holding())


def test_a_gpu_that_is_reserved_and_shared_counts_once():
    store = a_store(holding(), sharing("half"), sharing("other"))
    snapshot = store.take(NOW)
    assert gpus_of(snapshot, "gpu-reservation-a-x") == (0, PodState.BOUND)
    assert snapshot.devices.groups.keys() == {
        row for row, key in enumerate(snapshot.pods.keys) if key.namespace == "ns"
    }


def test_the_last_to_leave_hands_the_gpu_over_to_its_reservation_pod_which_is_on_its_way_out():
    store = a_store(holding(), sharing("half"))
    store.take(NOW)
    store.drop_pod(PodKey("ns", "half", "uid-half"))
    assert gpus_of(store.take(NOW + 1), "gpu-reservation-a-x") == (1, PodState.RELEASING)
    assert gpus_of(store.take(NOW + 200), "gpu-reservation-a-x") == (1, PodState.STUCK)
    put(store, sharing("late"))
    assert gpus_of(store.take(NOW + 201), "gpu-reservation-a-x") == (0, PodState.BOUND)


def test_of_two_reservation_pods_for_one_gpu_the_second_counts_as_a_gpu_of_its_own():
    store = a_store(holding("gpu-reservation-1", device="A"), holding("gpu-reservation-2"), sharing("half"))
    snapshot = store.take(NOW)
    assert gpus_of(snapshot, "gpu-reservation-1")[0] == 0
    assert gpus_of(snapshot, "gpu-reservation-2")[0] == 1


def test_a_pod_on_its_way_keeps_its_reservation_pod():
    store = a_store(holding(maker="kai-scheduler"), sharing("half", on=""))
    decision = bind("half", "a")
    store.decisions.assume(type(decision)(**{**vars(decision), "gpu_groups": (G1,)}), NOW)
    assert list(store.reservations.surplus(NOW)) == []
    store.decisions.release(decision, NOW)
    assert [one.key.name for one in store.reservations.surplus(NOW)] == ["gpu-reservation-a-x"]


def test_a_reservation_pod_of_somebody_else_that_nobody_uses_gets_time():
    store = a_store(holding())
    book = store.reservations
    assert list(book.surplus(NOW)) == []
    assert list(book.surplus(NOW + PATIENCE_WITH_OTHERS - 1)) == []
    assert [one.maker for one in book.surplus(NOW + PATIENCE_WITH_OTHERS)] == [""]


def test_a_failed_reservation_pod_is_taken_away_also_where_its_gpu_is_shared_and_is_known_until_it_is_gone():
    store = a_store(holding(phase="Failed"), sharing("half"))
    book = store.reservations
    (one,) = book.surplus(NOW)
    assert (one.failed, one.stands) == ("Failed", False)
    assert one.key in store.known_pods()
    store.drop_pod(one.key)
    assert book.at(one.seat) is None
    assert list(book.unguarded()) == [Seat("a", G1)]


def test_what_pods_were_shown_tells_a_stray_from_what_has_come_back():
    store = a_store(holding(device="B"), sharing("half", shown="A"))
    (stray,) = store.reservations.strays()
    assert isinstance(stray, Reservation)
    assert stray.device == "B"
    put(store, holding(device="A"))
    assert list(store.reservations.strays()) == []


def test_several_that_see_several_gpus_agree_on_the_one_they_share():
    store = a_store(sharing("two", shown="A,B"), sharing("one", shown="B"))
    assert store.reservations.shown == {Seat("a", G1): frozenset({"B"})}
    store.drop_pod(PodKey("ns", "one", "uid-one"))
    store.drop_pod(PodKey("ns", "two", "uid-two"))
    assert store.reservations.shown == {}


def test_the_same_gpu_for_two_seats_is_noticed():
    book = a_store(holding(device="A"), holding("gpu-reservation-2", group="gpu-2", device="A")).reservations
    assert book.elsewhere(Seat("a", G1), "A") == Seat("a", "gpu-2")
    assert book.elsewhere(Seat("b", G1), "A") is None


def test_a_reservation_pod_is_nobodys_to_schedule_or_to_end_whatever_its_scheduler_is_called():
    labels = {"runai-gpu-group": G1}
    store = a_store(pod("gpu-reservation-1", on="a", namespace=NAMESPACE, labels=labels))
    assert store.pods.facts[PodKey(NAMESPACE, "gpu-reservation-1", "uid-gpu-reservation-1")].place is None

import pickle
import threading

from mptrec_tf.data.row_counts import RowCounts, watch_rows


def test_rows_of_all_threads_are_reported():
    seen = []
    with watch_rows(seen.append) as counts:
        copy = pickle.loads(pickle.dumps(counts))
        threads = [threading.Thread(target=copy.add, args=(5,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts.add(2)
        counts.add(1)
        assert counts.total() == 18
    assert sum(seen) == 18
    assert counts.total() == 0  # nothing is left behind


def test_on_another_machine_nothing_is_counted(tmp_path):
    counts = RowCounts(f"{tmp_path}/not/here")
    counts.add(3)
    assert counts.total() == 0
    assert list(tmp_path.iterdir()) == []

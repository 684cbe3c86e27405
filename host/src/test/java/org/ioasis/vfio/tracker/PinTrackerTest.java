// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio.tracker;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Each tracker beside a plain map of what is pinned. */
class PinTrackerTest {
    private static final long PAGES = 5000;
    private static final long BASE = 1L << 40;

    private static List<PinTracker> sparse(long pages) {
        return List.of(
                new SparseArray(pages),
                new SparsePageTable(pages),
                new SparseRedBlackTree(pages),
                new SparseList(pages),
                new ContiguousIova(pages, BASE));
    }

    @Test
    @Tag("S24")
    @Tag("S25")
    void eachTellsWhatIsPinnedWhereAndHowOften() {
        for (PinTracker tracker : sparse(PAGES)) {
            long empty = tracker.bytes();
            Map<Long, Integer> users = new TreeMap<>();
            Random random = new Random(25);
            int released = 0;
            for (int step = 0; step < 6000; step++) {
                // Most of the range, and a part of it that is crowded.
                long page = random.nextBoolean() ? random.nextLong(PAGES) : random.nextLong(64);
                long address = BASE + page * PinTracker.PAGE;
                if (random.nextInt(5) < 3) {
                    boolean isThere = users.containsKey(page);
                    assertThat(tracker.retain(page)).isEqualTo(isThere);
                    if (!isThere) {
                        tracker.add(page, address);
                    }
                    users.merge(page, 1, Integer::sum);
                } else {
                    Integer before = users.get(page);
                    int left = before == null ? -1 : before - 1;
                    assertThat(tracker.release(page)).isEqualTo(left);
                    if (left == 0) {
                        users.remove(page);
                        released++;
                    } else if (left > 0) {
                        users.put(page, left);
                    }
                }
                assertThat(tracker.pinned()).isEqualTo(users.size());
                assertThat(tracker.address(page))
                        .isEqualTo(users.containsKey(page) ? address : PinTracker.NONE);
            }
            assertThat(released).as("pages have gone").isGreaterThan(200);
            long at = 0;
            for (long page : users.keySet()) {
                assertThat(tracker.nextPinned(at)).isEqualTo(page);
                at = page + 1;
            }
            assertThat(tracker.nextPinned(at)).isEqualTo(PinTracker.NONE);
            for (long page : List.copyOf(users.keySet())) {
                while (tracker.release(page) > 0) {
                    assertThat(tracker.address(page)).isNotEqualTo(PinTracker.NONE);
                }
            }
            assertThat(tracker.pinned()).isZero();
            assertThat(tracker.bytes())
                    .as("%s gives back what pins have cost", tracker.getClass())
                    .isEqualTo(empty);
        }
    }

    @Test
    @Tag("S23")
    void pinAllHasEveryPageAndCountsNobody() {
        PinAll tracker = new PinAll(6);
        long[] scattered = {0, 1, 2, 10, 11, 5};
        for (int page = 0; page < 6; page++) {
            assertThat(tracker.isComplete()).isFalse();
            tracker.add(page, BASE + scattered[page] * PinTracker.PAGE);
        }
        assertThat(tracker.isComplete()).isTrue();
        for (int page = 0; page < 6; page++) {
            assertThat(tracker.address(page)).isEqualTo(BASE + scattered[page] * PinTracker.PAGE);
            assertThat(tracker.retain(page)).isTrue();
            assertThat(tracker.nextPinned(page)).isEqualTo(page);
        }
        assertThatThrownBy(() -> tracker.add(9, BASE)).isInstanceOf(IllegalArgumentException.class);
        assertThat(tracker.release(2)).as("only with all").isEqualTo(1);
        for (int page = 5; page >= 0; page--) {
            assertThat(tracker.release(page)).isZero();
            assertThat(tracker.address(page)).isEqualTo(PinTracker.NONE);
        }
        assertThat(tracker.release(0)).isEqualTo(-1);
        PinAll whole = new PinAll(1 << 17);
        for (int page = 0; page < 1 << 17; page++) {
            whole.add(page, BASE + page * PinTracker.PAGE);
        }
        assertThat(whole.bytes()).as("one run, whatever its length").isLessThan(200);
    }

    @Test
    @Tag("S26")
    void whatTheDeviceKnowsIsNotKept() {
        DeviceParsed tracker = new DeviceParsed(PAGES);
        long empty = tracker.bytes();
        tracker.add(3, BASE);
        tracker.add(4, BASE);
        assertThat(tracker.address(3)).isEqualTo(PinTracker.NONE);
        assertThat(tracker.retain(3)).isFalse();
        assertThat(tracker.pinned()).isEqualTo(2);
        assertThat(tracker.nextPinned(0)).isEqualTo(PinTracker.NONE);
        assertThat(tracker.bytes()).isEqualTo(empty);
        assertThat(tracker.release(4)).isZero();
        assertThat(tracker.release(3)).isZero();
        assertThat(tracker.release(3)).as("no more than were pinned").isEqualTo(-1);
    }

    /** Q16: the thread has 2 MB of 4-byte entries, four times what the pages come to. */
    @Test
    @Tag("S25")
    void theArrayOfTheThreadIsAQuarterOfWhatItSays() {
        long pages = (512L << 20) / PinTracker.PAGE;
        assertThat(pages).isEqualTo(128 * 1024);
        assertThat(pages * 4).isEqualTo(512 << 10);
        assertThat(pages * 8).isEqualTo(1 << 20);
        assertThat(new SparseArray(pages).bytes()).isBetween(pages * 12, pages * 12 + 100);
    }

    @Test
    @Tag("S25")
    void aPageOfAContiguousRangeIsWhereItsNumberSays() {
        ContiguousIova tracker = new ContiguousIova(4, BASE);
        assertThat(tracker.place(3)).isEqualTo(BASE + 3 * PinTracker.PAGE);
        assertThatThrownBy(() -> tracker.add(3, BASE)).isInstanceOf(IllegalArgumentException.class);
        tracker.add(3, tracker.place(3));
        for (int i = 1; i < ContiguousIova.USERS_MAX; i++) {
            assertThat(tracker.retain(3)).isTrue();
        }
        assertThatThrownBy(() -> tracker.retain(3)).isInstanceOf(IllegalStateException.class);
        assertThat(tracker.release(3)).isEqualTo(ContiguousIova.USERS_MAX - 1);
    }

    /** A range of any length costs nothing until something is pinned, then tables for that. */
    @Test
    @Tag("S24")
    void aPageTableCostsWhatIsPinnedHoweverLongTheRange() {
        SparsePageTable tracker = new SparsePageTable(1L << 52);
        long empty = tracker.bytes();
        tracker.add((1L << 52) - 1, BASE);
        tracker.add(77, BASE);
        assertThat(tracker.bytes()).isLessThan(50_000);
        assertThat(tracker.nextPinned(78)).isEqualTo((1L << 52) - 1);
        assertThat(tracker.nextPinned(1L << 52)).isEqualTo(PinTracker.NONE);
        tracker.release((1L << 52) - 1);
        tracker.release(77);
        assertThat(tracker.bytes()).isEqualTo(empty);
    }
}

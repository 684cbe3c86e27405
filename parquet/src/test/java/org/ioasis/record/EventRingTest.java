// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** The way of what a loop has seen to the thread that writes it down. */
final class EventRingTest {
    private static final EventRing.Names NAMES =
            new EventRing.Names() {
                @Override
                public String iommu(int index) {
                    return "iommu" + index;
                }

                @Override
                public long since(long time) {
                    return time - 100;
                }

                @Override
                public @Nullable String status(Event event, int ordinal) {
                    return event.hasStatus() ? "status" + ordinal : null;
                }

                @Override
                public @Nullable String refusal(int ordinal) {
                    return ordinal < 0 ? null : "refusal" + ordinal;
                }
            };

    private final EventRing ring = new EventRing(4);
    private final Row row = new Row();

    private void access(int number) {
        ring.add(100 + number, 1, Event.ACCESS, 7, -1, 3, number, number, 0x1000, 1, 0, -1);
    }

    private List<String> taken(int most) {
        List<String> all = new ArrayList<>();
        while (all.size() < most && ring.take(row, all.size(), NAMES)) {
            all.add(row.time() + " " + row);
        }
        return all;
    }

    @Test
    void whatIsAddedIsTakenAsItWas() {
        ring.add(105, 2, Event.MAP, 0, -1, 0xffff_ffffL, -4096, -1, 0x5000, 3, 8, 17);
        ring.add(106, 0, Event.FAULT, -2, 9, -1, -1, -1, 0, 2, 1, -1);

        assertThat(taken(9))
                .containsExactly(
                        "5 iommu2 MAP domain 0xffffffff 0xfffffffffffff000..0xffffffffffffffff to"
                                + " 0x5000 flags 3 -> status8 (refusal17)",
                        "6 iommu0 FAULT endpoint 0xfffffffe PASID 9"
                                + " 0xffffffffffffffff..0xffffffffffffffff flags 2 -> status1");
        assertThat(ring.lost()).isZero();
    }

    @Test
    void whatFindsNoRoomIsCountedAndSaidBeforeTheNextThatFindsSome() {
        for (int i = 0; i < 7; i++) {
            access(i);
        }
        assertThat(ring.lost()).isEqualTo(3);
        assertThat(taken(1)).hasSize(1);
        // For two there is no room yet: the row and what it is to be preceded by.
        access(7);
        assertThat(ring.lost()).isEqualTo(4);
        assertThat(taken(1)).hasSize(1);
        access(8);

        assertThat(taken(9))
                .containsExactly(
                        "2 iommu1 ACCESS endpoint 0x7 domain 0x3 0x2..0x2 to 0x1000 flags 1",
                        "3 iommu1 ACCESS endpoint 0x7 domain 0x3 0x3..0x3 to 0x1000 flags 1",
                        "8 iommu1 LOST 4",
                        "8 iommu1 ACCESS endpoint 0x7 domain 0x3 0x8..0x8 to 0x1000 flags 1");
        access(9);
        assertThat(taken(9)).hasSize(1);
        assertThat(ring.lost()).isEqualTo(4);
    }

    @Test
    void betweenTwoThreadsNothingIsLostUnseenOrSeenTwice() throws InterruptedException {
        EventRing wide = new EventRing(64);
        int rounds = 300_000;
        Thread adder =
                new Thread(() -> {
                    for (int i = 0; i < rounds; i++) {
                        wide.add(100, 0, Event.ACCESS, 1, -1, 1, i, i, i, 1, 0, -1);
                    }
                });
        adder.start();
        long expected = 0;
        long said = 0;
        boolean isLast = false;
        while (true) {
            while (wide.take(row, 0, NAMES)) {
                if (row.event() == Event.LOST) {
                    said += row.lost();
                    expected += row.lost();
                } else {
                    assertThat(row.first()).isEqualTo(expected);
                    assertThat(row.output()).isEqualTo(expected);
                    expected++;
                }
            }
            if (isLast) {
                break;
            }
            isLast = !adder.isAlive();
        }
        // What was missing at the end had nothing behind it to be said before.
        assertThat(expected + (wide.lost() - said)).isEqualTo(rounds);
    }
}

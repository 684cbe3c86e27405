// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Consumer;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.sys.Errno;
import org.ioasis.sys.Fd;
import org.ioasis.sys.FileRoom;
import org.ioasis.sys.Memfd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a peer shares is given back in turns, on a loop that the test turns by hand. */
class SharedMemoryTest {
    private static final int PAGE = 4096;
    private static final int REGIONS = 3 * SharedMemory.UNMAPS_PER_TURN + 1;

    private final Guards guards = new Guards(System::nanoTime, lease -> {});
    private final GuestMemory memory = new GuestMemory(guards, REGIONS);
    private final ArrayDeque<Runnable> turns = new ArrayDeque<>();
    private final List<MemorySegment> mapped = new ArrayList<>();
    private boolean isGone;

    /** Shares memory, and takes all of it away at once. */
    private SharedMemory taken(Consumer<Runnable> loop, boolean isRange) throws Exception {
        SharedMemory shared = new SharedMemory(memory, (long) REGIONS * PAGE, loop::accept);
        try (Fd fd = Memfd.create("shared", PAGE)) {
            for (long i = 0; i < REGIONS; i++) {
                assertThat(shared.add(i * PAGE, i * PAGE + PAGE - 1, fd, 0, true)).isNull();
            }
        }
        memory.forEachRegion(region -> mapped.add(region.segment()));
        assertThat(mapped).hasSize(REGIONS).doesNotContainNull();
        if (isRange) {
            assertThat(shared.remove(0, -1, () -> isGone = true)).isNull();
        } else {
            shared.removeAll(() -> isGone = true);
        }
        guards.poll();
        return shared;
    }

    private long alive() {
        return mapped.stream().filter(segment -> segment.scope().isAlive()).count();
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void howeverManyRegionsGoAtOnceATurnUnmapsSoManyAndTheLastTellsTheEnd(boolean isRange)
            throws Exception {
        SharedMemory shared = taken(turns::add, isRange);
        assertThat(memory.regionCount()).as("nobody finds them any more").isZero();
        for (int turn = 1; turn <= 3; turn++) {
            assertThat(alive()).isEqualTo(REGIONS - turn * SharedMemory.UNMAPS_PER_TURN);
            assertThat(isGone).isFalse();
            assertThat(turns).hasSize(1);
            turns.remove().run();
        }
        assertThat(alive()).isZero();
        assertThat(isGone).isTrue();
        assertThat(turns).isEmpty();
        try (Fd fd = Memfd.create("again", PAGE)) {
            assertThat(shared.add(0, PAGE - 1, fd, 0, true)).as("it costs nothing now").isNull();
        }
        shared.removeAll(() -> {});
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aLoopThatEndsLeavesNothingMapped(boolean isRange) throws Exception {
        SharedMemory _ =
                taken(
                        turn -> {
                            throw new RejectedExecutionException("ended");
                        },
                        isRange);
        assertThat(alive()).isZero();
        assertThat(isGone).isTrue();
    }

    @Test
    void atTheLimitOfKeptDescriptorsARegionIsRefusedUntilOneIsGivenBack() throws Exception {
        SharedMemory shared = new SharedMemory(memory, 1 << 20, turns::add, true, new FileRoom(2));
        try (Fd fd = Memfd.create("shared", PAGE)) {
            assertThat(shared.add(0, PAGE - 1, fd, 0, true)).isNull();
            assertThat(shared.add(PAGE, 2 * PAGE - 1, fd, 0, true)).isNull();
            SharedMemory.Refusal refusal = shared.add(2 * PAGE, 3 * PAGE - 1, fd, 0, true);
            assertThat(requireNonNull(refusal).errno()).isEqualTo(Errno.EMFILE);
            assertThat(refusal.why()).contains("RLIMIT_NOFILE");
            assertThat(memory.regionCount()).isEqualTo(2);
            assertThat(shared.remove(0, PAGE - 1, () -> isGone = true)).isNull();
            guards.poll();
            assertThat(isGone).isTrue();
            assertThat(shared.add(2 * PAGE, 3 * PAGE - 1, fd, 0, true)).isNull();
            // One that is refused for another reason has taken no room.
            assertThat(shared.remove(PAGE, 2 * PAGE - 1, () -> {})).isNull();
            guards.poll();
            assertThat(shared.add(2 * PAGE, 3 * PAGE - 1, fd, 0, true)).isNotNull();
            assertThat(shared.add(5 * PAGE, 9 * PAGE - 1, fd, 0, true)).isNotNull();
            assertThat(shared.add(0, PAGE - 1, fd, 0, true)).isNull();
        }
        shared.removeAll(() -> {});
        guards.poll();
    }
}

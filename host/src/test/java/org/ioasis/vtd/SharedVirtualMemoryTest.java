// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.engine.NestedMachine.PAGE;
import static org.ioasis.iommufd.nesting.Recorder.words;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_PASID;
import static org.ioasis.spec.Iommufd.PAGE_RESP_INVALID;
import static org.ioasis.spec.Iommufd.PAGE_RESP_SUCCESS;
import static org.ioasis.spec.Iommufd.PGFAULT_FLAGS_LAST_PAGE;
import static org.ioasis.spec.Iommufd.PGFAULT_FLAGS_PASID_VALID;
import static org.ioasis.spec.IommufdNesting.*;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.ioasis.iommufd.FaultQueue;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.NestedHwpt;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.engine.NestedMachine;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A process whose address space a device shares: pages are there when somebody touches them, and go
 * when others need the memory. The device asks for what is not there, and never sees what is gone.
 */
class SharedVirtualMemoryTest {
    private static final int PASID = 5;
    private static final long ENTRY = 7;
    private static final long SPACE = 0x7f12_3456_0000L;

    private final NestedMachine machine =
            new NestedMachine(VtdIommu.maker(VtdIommu.CAP, VtdIommu.ECAP));
    private final long root = machine.allocate();
    private final NestedHwpt table =
            machine.parent.allocateNested(
                    machine.device,
                    HWPT_ALLOC_PASID,
                    UserData.of(HWPT_DATA_VTD_S1, words(0, root, 48)),
                    machine.requests);
    private final Dma dma;

    /** Answers to the device's requests, which it looks at before it tries again. */
    private final Deque<Integer> answers = new ArrayDeque<>();

    private int groups;

    SharedVirtualMemoryTest() throws IommufdException {
        machine.device.attach(table.id(), PASID);
        dma = machine.dma(PASID);
        machine.hardware.onAnswer((pasid, group, code) -> answers.add(code));
    }

    @AfterEach
    void end() {
        machine.close(PASID);
    }

    private void invalidate(long address, long pages) {
        assertThat(table.invalidate(INVALIDATE_VTD_S1, words(address, pages, 1), 0, 24, 1))
                .isEqualTo(Handled.all(1));
    }

    /** Asks for a page as a device with PRI does; what was answered. */
    private int ask(GuestProcess process, long address) {
        machine.device
                .requests()
                .report(
                        PGFAULT_FLAGS_LAST_PAGE | PGFAULT_FLAGS_PASID_VALID,
                        PASID,
                        groups++ & 0x1ff,
                        3,
                        address & -PAGE);
        process.serve();
        return requireNonNull(answers.poll());
    }

    /** A process of the guest's, with few frames for many pages: the oldest goes out. */
    private final class GuestProcess {
        private final long pages;
        private final Deque<Long> frames = new ArrayDeque<>();
        private final Map<Long, Long> present = new LinkedHashMap<>();
        private final Map<Long, Long> swapped = new HashMap<>();
        private int evictions;

        GuestProcess(long pages, int frames) {
            this.pages = pages;
            for (int i = 0; i < frames; i++) {
                this.frames.add(machine.allocate());
            }
        }

        long address(long page) {
            return SPACE + page * PAGE;
        }

        /** The kernel's part: takes requests, brings pages in, answers. */
        void serve() {
            FaultQueue.Taken taken = requireNonNull(machine.requests.take());
            long page = (taken.group().requests().getFirst().address() - SPACE) / PAGE;
            boolean isHere = page >= 0 && page < pages;
            if (isHere) {
                bringIn(page);
            }
            int code = isHere ? PAGE_RESP_SUCCESS : PAGE_RESP_INVALID;
            assertThat(machine.requests.answer(taken.cookie(), code)).isZero();
        }

        private void bringIn(long page) {
            if (present.containsKey(page)) {
                return;
            }
            if (frames.isEmpty()) {
                takeOut(present.keySet().iterator().next());
            }
            long frame = frames.remove();
            machine.set(frame, swapped.getOrDefault(page, 0L));
            machine.map(root, address(page), frame | ENTRY, ENTRY);
            present.put(page, frame);
        }

        /** Unmaps a page; when the device cannot reach its frame any more that is another's. */
        private void takeOut(long page) {
            long frame = requireNonNull(present.remove(page));
            machine.map(root, address(page), 0, ENTRY);
            invalidate(address(page), 1);
            swapped.put(page, machine.get(frame));
            machine.set(frame, 0xdead_dead_dead_deadL);
            frames.add(frame);
            evictions++;
        }
    }

    @Test
    @Tag("S28")
    @Tag("S34")
    void aDeviceAsksForAPageThatIsNotThereAndTriesAgain() {
        GuestProcess process = new GuestProcess(4, 2);
        long address = process.address(1) + 8;
        assertThat(machine.write(dma, address, 77)).isEqualTo(Outcome.FAULT);
        assertThat(ask(process, address)).isEqualTo(PAGE_RESP_SUCCESS);
        assertThat(machine.write(dma, address, 77)).isEqualTo(Outcome.OK);
        assertThat(machine.get(requireNonNull(process.present.get(1L)) + 8)).isEqualTo(77);
        assertThat(ask(process, process.address(4))).isEqualTo(PAGE_RESP_INVALID);
        assertThat(machine.write(dma, process.address(4), 1)).isEqualTo(Outcome.FAULT);
    }

    @Test
    @Tag("S28")
    void anUnmapOfTheProcessReachesTheDeviceBeforeItReturns() {
        GuestProcess process = new GuestProcess(4, 4);
        ask(process, process.address(0));
        assertThat(machine.write(dma, process.address(0), 5)).isEqualTo(Outcome.OK);
        long frame = requireNonNull(process.present.get(0L));
        process.takeOut(0);
        assertThat(machine.write(dma, process.address(0), 6)).isEqualTo(Outcome.FAULT);
        assertThat(machine.get(frame)).isEqualTo(0xdead_dead_dead_deadL);
    }

    @Test
    @Tag("S28")
    void anUnmapOfTheMachinesMemoryReachesTheDeviceTooThoughTheGuestsTableSaysNothing()
            throws IommufdException {
        GuestProcess process = new GuestProcess(1, 1);
        ask(process, process.address(0));
        assertThat(machine.write(dma, process.address(0), 5)).isEqualTo(Outcome.OK);
        machine.ioas.unmap(NestedMachine.FIRST, NestedMachine.PAGES * PAGE);
        assertThat(machine.write(dma, process.address(0), 6)).isEqualTo(Outcome.FAULT);
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    @Tag("S34")
    void whateverComesAndGoesTheDeviceSeesWhatTheProcessHas(long seed) {
        Random random = new Random(seed);
        GuestProcess process = new GuestProcess(24, 8);
        Map<Long, Long> model = new HashMap<>();
        List<Long> seen = new ArrayList<>();
        int asked = 0;
        for (int i = 0; i < 4000; i++) {
            long page = random.nextInt(24);
            long address = process.address(page);
            if (random.nextInt(4) == 0 && process.present.containsKey(page)) {
                process.takeOut(page);
            } else if (random.nextBoolean()) {
                while (machine.write(dma, address, i) != Outcome.OK) {
                    assertThat(ask(process, address)).isEqualTo(PAGE_RESP_SUCCESS);
                    asked++;
                }
                model.put(page, (long) i);
            } else {
                long word = machine.read(dma, address);
                while (word == -1) {
                    assertThat(ask(process, address)).isEqualTo(PAGE_RESP_SUCCESS);
                    asked++;
                    word = machine.read(dma, address);
                }
                assertThat(word).isEqualTo(model.getOrDefault(page, 0L));
                seen.add(word);
            }
        }
        assertThat(asked).isGreaterThan(500);
        assertThat(process.evictions).isGreaterThan(500);
        assertThat(seen).hasSizeGreaterThan(500);
        assertThat(answers).isEmpty();
        assertThat(machine.requests.open()).isZero();
    }
}

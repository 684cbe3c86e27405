// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spapr.PowerGuest.ENTRIES;
import static org.ioasis.spapr.PowerGuest.LIOBN;
import static org.ioasis.spapr.PowerGuest.PAGE;
import static org.ioasis.spapr.PowerGuest.PAGE_LG2;
import static org.ioasis.spapr.PowerGuest.SLOT;
import static org.ioasis.spapr.StubProcess.AT;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.ioasis.host.Allocation;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.spec.SpaprTce;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Hypercalls of several processors at once, and what a call allocates. */
@Timeout(value = 60, unit = TimeUnit.SECONDS)
class HypercallThreadsTest {
    private static final long READ_WRITE = SpaprTce.READ | SpaprTce.WRITE;

    private static void runAll(List<Callable<Void>> tasks) throws Exception {
        try (ExecutorService threads = Executors.newFixedThreadPool(tasks.size())) {
            List<Future<Void>> all = threads.invokeAll(tasks);
            for (Future<Void> one : all) {
                one.get();
            }
        }
    }

    @Test
    void processorsWriteTheirEntriesAtOnceWhileADeviceLooks() throws Exception {
        PowerGuest guest = new PowerGuest(true);
        Map<Long, Long> entries = new ConcurrentHashMap<>();
        int processors = 3;
        List<Callable<Void>> tasks = new ArrayList<>();
        for (int processor = 0; processor < processors; processor++) {
            int own = processor;
            tasks.add(() -> {
                Random random = new Random(own);
                for (int i = 0; i < 5000; i++) {
                    long index = (long) random.nextInt(ENTRIES / processors) * processors + own;
                    long tce = random.nextInt(200) * PAGE | random.nextInt(4);
                    assertThat(guest.put(index, tce)).isEqualTo(HcallResult.SUCCESS);
                    entries.put(index, tce);
                }
                return null;
            });
        }
        tasks.add(() -> {
            Random random = new Random(99);
            long base = guest.node.addressOf(guest.process.source, 0);
            for (int i = 0; i < 20_000; i++) {
                long iova = random.nextLong(ENTRIES * PAGE);
                long found = guest.small.lookUp(iova, true);
                if (found != HardwareTable.NOWHERE) {
                    assertThat(found - base).isBetween(0L, 200 * PAGE);
                    assertThat((found - base) % PAGE).isEqualTo(iova % PAGE);
                }
            }
            return null;
        });
        runAll(tasks);
        assertThat(guest.state()).isEqualTo(PowerGuest.stateOf(entries, guest.node.heldPages()));
        guest.close();
    }

    /** Who unregisters ends the region, or an entry is there first: never both. */
    @Test
    @Tag("S10")
    void memoryIsEitherUnregisteredOrMapped() throws Exception {
        PowerGuest guest = new PowerGuest(true);
        SpaprV2 other = new SpaprV2(guest.host);
        long at = AT + SLOT - 4 * PAGE;
        long guestAt = SLOT - 4 * PAGE;
        int rounds = 3000;
        Map<Errno, Integer> refusals = new HashMap<>();
        int[] done = new int[2];
        Task unregistering = new Task(guest.process, false, new FailureInjector());
        runAll(
                List.of(
                        () -> {
                            for (int i = 0; i < rounds; i++) {
                                other.register(unregistering, at, 4 * PAGE);
                                while (true) {
                                    try {
                                        other.unregister(unregistering, at, 4 * PAGE);
                                        done[0]++;
                                        break;
                                    } catch (IommufdException e) {
                                        refusals.merge(e.errno(), 1, Integer::sum);
                                        Thread.onSpinWait();
                                    }
                                }
                            }
                            return null;
                        },
                        () -> {
                            for (int i = 0; i < rounds; i++) {
                                HcallResult result = guest.put(1, guestAt | READ_WRITE);
                                assertThat(result)
                                        .isIn(
                                                HcallResult.SUCCESS,
                                                HcallResult.PARAMETER,
                                                HcallResult.CLOSED);
                                done[1] += result == HcallResult.SUCCESS ? 1 : 0;
                                boolean isThere =
                                        guest.small.lookUp(PAGE, true) != HardwareTable.NOWHERE;
                                assertThat(isThere).isEqualTo(result == HcallResult.SUCCESS);
                                assertThat(guest.put(1, 0)).isEqualTo(HcallResult.SUCCESS);
                            }
                            return null;
                        }));
        assertThat(done[0]).isEqualTo(rounds);
        assertThat(refusals.keySet()).isSubsetOf(Errno.EBUSY);
        assertThat(guest.tables.memory().entriesInto(at)).isEqualTo(-1);
        other.close();
        guest.close();
    }

    @Test
    @Tag("S11")
    void aCallThatTheKernelAnswersAllocatesNothing() throws IommufdException {
        PowerGuest guest = new PowerGuest(true);
        TceValue value = new TceValue();
        long list = 0x10_0000;
        long[] tces = new long[ENTRIES];
        for (int i = 0; i < ENTRIES; i++) {
            tces[i] = i * PAGE | READ_WRITE;
        }
        guest.list(list, tces);
        // The first rounds make pages of tables.
        long least =
                Allocation.leastOf(
                        40,
                        () -> {
                            long sum = 0;
                            for (long i = 0; i < ENTRIES; i++) {
                                long ioba = i << PAGE_LG2;
                                sum += guest.calls.put(LIOBN, ioba, i * PAGE | READ_WRITE).code();
                                sum +=
                                        guest.calls
                                                .put(LIOBN, ioba, (i + 1) * PAGE | READ_WRITE)
                                                .code();
                                sum += guest.calls.get(LIOBN, ioba, value).code();
                            }
                            sum += guest.calls.putIndirect(LIOBN, 0, list, ENTRIES).code();
                            sum += guest.calls.stuff(LIOBN, 0, 0, ENTRIES).code();
                            if (sum != 0) {
                                throw new IllegalStateException("not answered");
                            }
                        });
        assertThat(least).isZero();
        guest.close();
    }
}

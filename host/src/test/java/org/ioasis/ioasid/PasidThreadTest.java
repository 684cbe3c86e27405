// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refusal;
import static org.ioasis.ioasid.IoasidAllocator.LAST;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What the discussion of February 2019 wants to do with PASIDs, step by step as it tells it. */
class PasidThreadTest {
    /** An address space of a process. */
    private static final class Mm {
        private final String process;
        private final AtomicInteger users = new AtomicInteger(1);

        Mm(String process) {
            this.process = process;
        }

        /** As mmget_not_zero. */
        boolean tryGet() {
            while (true) {
                int now = users.get();
                if (now == 0) {
                    return false;
                }
                if (users.compareAndSet(now, now + 1)) {
                    return true;
                }
            }
        }

        void put() {
            assertThat(users.getAndDecrement()).isPositive();
        }
    }

    /** The handler of I/O page faults: finds the address space of a PASID among shared ones. */
    private static final class FaultHandler {
        private final IoasidReader reader;
        private final IoasidSet<Mm> shared;
        private final List<String> faultedIn = new ArrayList<>();
        private @Nullable Mm found;

        FaultHandler(IoasidAllocator ids, IoasidSet<Mm> shared) {
            this.reader = ids.openReader();
            this.shared = shared;
        }

        IoasidFind handle(int pasid) {
            IoasidFind answer =
                    reader.find(
                            shared,
                            pasid,
                            mm -> {
                                found = mm;
                                return mm.tryGet();
                            });
            Mm mm = found;
            if (answer == IoasidFind.FOUND && mm != null) {
                faultedIn.add(mm.process);
                mm.put();
            }
            return answer;
        }
    }

    private record AuxDomain(int number) {}

    private record KfdProcess(String queue) {}

    private final IoasidAllocator ids = new IoasidAllocator();
    private final IoasidSet<Mm> shared = new IoasidSet<>("shared_pasid_set", Mm.class);

    @Test
    @Tag("S13")
    @Tag("S20")
    @DisplayName("native bind: no custom allocator, and private data at allocation")
    void nativeBind() {
        // Nothing is registered, so ids come from the default allocator.
        Mm mm = new Mm("worker");
        int pasid = ids.allocate(shared, 1, LAST, mm);
        assertThat(pasid).isEqualTo(1);

        // The device faults: the handler finds the address space and takes a reference of it.
        FaultHandler handler = new FaultHandler(ids, shared);
        assertThat(handler.handle(pasid)).isEqualTo(IoasidFind.FOUND);
        assertThat(handler.faultedIn).containsExactly("worker");
        assertThat(mm.users.get()).isEqualTo(1);

        // The process exits while the device still faults: its address space is on its way out.
        mm.put();
        assertThat(handler.handle(pasid)).isEqualTo(IoasidFind.REFUSED);
        assertThat(ids.put(pasid)).isTrue();
        assertThat(handler.handle(pasid)).isEqualTo(IoasidFind.MISSING);
        assertThat(handler.faultedIn).hasSize(1);
    }

    @Test
    @Tag("S14")
    @Tag("S16")
    @Tag("S17")
    @Tag("S18")
    @Tag("S20")
    @DisplayName("guest bind in two steps: VFIO allocates without data, the driver fills it in")
    void guestBindInTwoSteps() throws IommufdException {
        // On the host: one set for each VMM, and what its guest asks for comes from the host's ids.
        IoasidSets sets = new IoasidSets(ids, 1000);
        QuotaSet<Mm> vmm = sets.create("qemu-1", "first VMM", Mm.class, 2);
        QuotaSet<Mm> otherVmm = sets.create("qemu-2", "second VMM", Mm.class, 2);
        VcmdDevice virtualUnit =
                new VcmdDevice(
                        new VcmdDevice.Host() {
                            @Override
                            public int allocate() throws IommufdException {
                                // VFIO's part: there is nothing to bind yet.
                                return vmm.allocate(1, LAST, null);
                            }

                            @Override
                            public boolean free(int pasid) {
                                return vmm.put(pasid);
                            }
                        });

        // 1. During boot the guest's VT-d driver sees that it runs in a guest and registers vcmd.
        IoasidAllocator guestIds = new IoasidAllocator();
        guestIds.register(VcmdAllocator.of(virtualUnit));

        // 2. All allocations of the guest go to it, and are tracked in the guest too.
        Mm guestProcess = new Mm("guest process");
        int pasid = guestIds.allocate(shared, VcmdAllocator.FIRST, LAST, guestProcess);
        assertThat(virtualUnit.commands).isEqualTo(1);
        FaultHandler inTheGuest = new FaultHandler(guestIds, shared);
        assertThat(inTheGuest.handle(pasid)).isEqualTo(IoasidFind.FOUND);

        // The PASID is reachable on the host before anything is bound: all must live with that.
        FaultHandler onTheHost = new FaultHandler(ids, vmm);
        assertThat(onTheHost.handle(pasid)).isEqualTo(IoasidFind.NOT_YET);

        // Another VMM's process may not bind to it: the set is VFIO's check.
        Mm guestTable = new Mm("table of the guest");
        assertThat(refusal(() -> ids.setData(otherVmm, pasid, new Mm("another's"))))
                .isEqualTo(Errno.EACCES);

        // 5. Bind of a guest's PASID: the driver fills in what was empty.
        ids.setData(vmm, pasid, guestTable);
        assertThat(onTheHost.handle(pasid)).isEqualTo(IoasidFind.FOUND);
        assertThat(onTheHost.faultedIn).containsExactly("table of the guest");

        // Unbind, and the guest gives it back by a command.
        ids.setData(vmm, pasid, null);
        assertThat(onTheHost.handle(pasid)).isEqualTo(IoasidFind.NOT_YET);
        assertThat(guestIds.put(pasid)).isTrue();
        assertThat(virtualUnit.commands).isEqualTo(2);
        assertThat(onTheHost.handle(pasid)).isEqualTo(IoasidFind.MISSING);
        assertThat(vmm.used()).isZero();
        assertThat(guestIds.lost()).isZero();
    }

    @Test
    @Tag("S17")
    @Tag("S20")
    @DisplayName("three owners of one space, and a page fault that is only one's")
    void threeCompetingOwnersOnOnePageFault() {
        // (a) shared virtual addressing, (b) domains of the IOMMU driver, (c) a driver's own.
        IoasidSet<AuxDomain> auxiliary = new IoasidSet<>("auxiliary domains", AuxDomain.class);
        IoasidSet<KfdProcess> kfd = new IoasidSet<>("compute queues", KfdProcess.class);
        int first = ids.allocate(auxiliary, 1, LAST, new AuxDomain(1));
        int second = ids.allocate(shared, 1, LAST, new Mm("worker"));
        int third = ids.allocate(kfd, 1, 0xffff, new KfdProcess("queue"));
        int fourth = ids.allocate(shared, 1, LAST, new Mm("another worker"));
        assertThat(List.of(first, second, third, fourth)).containsExactly(1, 2, 3, 4);

        // The handler gets what is an address space, and of nothing else would it get one.
        FaultHandler handler = new FaultHandler(ids, shared);
        List<IoasidFind> answers = new ArrayList<>();
        for (int pasid = 1; pasid <= 5; pasid++) {
            answers.add(handler.handle(pasid));
        }
        assertThat(answers)
                .containsExactly(
                        IoasidFind.OTHER_SET,
                        IoasidFind.FOUND,
                        IoasidFind.OTHER_SET,
                        IoasidFind.FOUND,
                        IoasidFind.MISSING);
        assertThat(handler.faultedIn).containsExactly("worker", "another worker");

        // Each of the others finds its own, with its type.
        List<Object> owners = new ArrayList<>();
        try (IoasidReader reader = ids.openReader()) {
            assertThat(reader.find(auxiliary, first, domain -> owners.add(domain.number())))
                    .isEqualTo(IoasidFind.FOUND);
            assertThat(reader.find(kfd, third, process -> owners.add(process.queue())))
                    .isEqualTo(IoasidFind.FOUND);
            assertThat(reader.find(kfd, second, process -> owners.add(process.queue())))
                    .isEqualTo(IoasidFind.OTHER_SET);
        }
        assertThat(owners).containsExactly(1, "queue");
    }
}

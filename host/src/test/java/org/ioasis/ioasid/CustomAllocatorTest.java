// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refusal;
import static org.ioasis.ioasid.IoasidAllocator.INVALID;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Custom allocators: their order, what they share, and the life of ids across them. */
class CustomAllocatorTest {
    private final FailureInjector failures = new FailureInjector();
    private final List<String> trouble = new ArrayList<>();
    private final IoasidAllocator ids = new IoasidAllocator(failures, trouble::add);
    private final IoasidSet<Owned> set = new IoasidSet<>("shared", Owned.class);
    private final IoasidReader reader = ids.openReader();
    private final Owned.Keeper keeper = new Owned.Keeper();
    private final ScriptedBackend first = new ScriptedBackend().lowest(100);
    private final ScriptedBackend second = new ScriptedBackend().lowest(200);
    private final IoasidOps<String> a = first.ops("a");
    private final IoasidOps<String> shared = first.ops("shared");
    private final IoasidOps<String> b = second.ops("b");

    @AfterEach
    void readersAreGivenBack() {
        reader.close();
    }

    private int allocate() {
        return ids.allocate(set, 1, 1000, new Owned("owner"));
    }

    private IoasidFind find(int id) {
        return reader.find(set, id, keeper);
    }

    @Nested
    @DisplayName("order, sharing and live ids (2.4)")
    class Order {
        @Test
        @Tag("S14")
        void aCustomAllocatorTakesPrecedenceAndItsIdsAreTracked() throws IommufdException {
            ids.register(a);
            assertThat(ids.isActive(a)).isTrue();
            int id = allocate();
            assertThat(id).isEqualTo(100);
            assertThat(find(id)).isEqualTo(IoasidFind.FOUND);
            assertThat(ids.liveIds()).isEqualTo(1);
            assertThat(ids.put(id)).isTrue();
            assertThat(first.freed).containsExactly(100);
            assertThat(first.out).isEmpty();
        }

        @Test
        @Tag("S14")
        void anAllocationThatTheCustomAllocatorRefusesIsRefused() throws IommufdException {
            ids.register(a);
            first.isEmpty(true);
            assertThat(allocate()).as("ours has a million").isEqualTo(INVALID);
            first.isEmpty(false);
            assertThat(allocate()).isEqualTo(100);
        }

        @Test
        @Tag("S15")
        void theFirstIsRefusedWhileIdsOfOursAreOut() throws IommufdException {
            int id = allocate();
            assertThat(refusal(() -> ids.register(a))).isEqualTo(Errno.EAGAIN);
            assertThat(find(id)).isEqualTo(IoasidFind.FOUND);
            assertThat(allocate()).isEqualTo(id + 1);
            assertThat(first.calledWith).isEmpty();

            assertThat(ids.put(id)).isTrue();
            assertThat(ids.put(id + 1)).isTrue();
            ids.register(a);
            assertThat(allocate()).isEqualTo(100);
        }

        @Test
        @Tag("S15")
        void theSameOneASecondTimeIsEexist() throws IommufdException {
            ids.register(a);
            assertThat(refusal(() -> ids.register(a))).isEqualTo(Errno.EEXIST);
            ids.register(b);
            assertThat(refusal(() -> ids.register(b))).isEqualTo(Errno.EEXIST);
            assertThat(ids.unregister(b)).isEqualTo(new Unregistered(true, 0));
            assertThat(refusal(() -> ids.unregister(b))).isEqualTo(Errno.ENOENT);
        }

        @Test
        @Tag("S15")
        void oneWithTheSameFunctionsJoinsAndIdsOutliveTheOther() throws IommufdException {
            ids.register(a);
            int id = allocate();
            ids.register(shared);
            assertThat(ids.isActive(shared)).isTrue();

            assertThat(ids.unregister(a)).isEqualTo(new Unregistered(false, 0));
            assertThat(find(id)).isEqualTo(IoasidFind.FOUND);
            assertThat(ids.isActive(shared)).isTrue();
            assertThat(ids.put(id)).isTrue();
            assertThat(first.freed).containsExactly(id);
        }

        @Test
        @Tag("S15")
        @DisplayName("functions are called with what a sharer that is there has registered (Q9)")
        void functionsAreCalledWithDataOfASharerThatIsStillThere() throws IommufdException {
            ids.register(a);
            ids.register(shared);
            int id = allocate();
            assertThat(ids.unregister(a).wasLast()).isFalse();
            assertThat(ids.put(id)).isTrue();
            assertThat(allocate()).isEqualTo(100);
            assertThat(first.calledWith).containsExactly("a", "shared", "shared");
        }

        @Test
        @Tag("S15")
        void othersWaitInTheOrderOfRegistration() throws IommufdException {
            ScriptedBackend third = new ScriptedBackend().lowest(300);
            IoasidOps<String> c = third.ops("c");
            ids.register(a);
            ids.register(b);
            ids.register(c);
            assertThat(ids.isActive(b)).isFalse();
            assertThat(ids.put(allocate())).isTrue();
            assertThat(first.freed).containsExactly(100);

            assertThat(ids.unregister(a)).isEqualTo(new Unregistered(true, 0));
            assertThat(allocate()).isEqualTo(200);
            assertThat(ids.put(200)).isTrue();
            assertThat(ids.unregister(b)).isEqualTo(new Unregistered(true, 0));
            assertThat(allocate()).isEqualTo(300);
            assertThat(ids.put(300)).isTrue();
            assertThat(ids.unregister(c)).isEqualTo(new Unregistered(true, 0));
            assertThat(allocate()).as("ours again").isEqualTo(1);
        }

        @Test
        @Tag("S15")
        void oneThatWaitsLeavesWithoutATrace() throws IommufdException {
            ids.register(a);
            ids.register(b);
            int id = allocate();
            assertThat(ids.unregister(b)).isEqualTo(new Unregistered(true, 0));
            assertThat(find(id)).isEqualTo(IoasidFind.FOUND);
            assertThat(second.calledWith).isEmpty();
        }

        @Test
        @Tag("S15")
        void idsThatAreOutWhenTheLastSharerLeavesAreLostAndThatIsSaid() throws IommufdException {
            ids.register(a);
            ids.register(shared);
            ids.register(b);
            int one = allocate();
            int two = allocate();
            assertThat(ids.unregister(shared)).isEqualTo(new Unregistered(false, 0));
            assertThat(ids.unregister(a)).isEqualTo(new Unregistered(true, 2));
            assertThat(find(one)).isEqualTo(IoasidFind.MISSING);
            assertThat(find(two)).isEqualTo(IoasidFind.MISSING);
            assertThat(ids.put(one)).isFalse();
            assertThat(first.freed).isEmpty();
            assertThat(ids.lost()).isEqualTo(2);
            assertThat(trouble)
                    .containsExactly("2 ids are lost with the allocator that they came from");
            assertThat(ids.isActive(b)).isTrue();
            assertThat(ids.liveIds()).isZero();
        }
    }

    @Nested
    @DisplayName("what a custom allocator does wrong (2.3, Q9)")
    class Traps {
        @Test
        @Tag("S14")
        void anIdThatHasAnOwnerIsNotHandedOutAgainNorGivenBack() throws IommufdException {
            ids.register(a);
            int id = allocate();
            assertThat(find(id)).isEqualTo(IoasidFind.FOUND);
            Object owner = keeper.got;

            first.next(id);
            assertThat(allocate()).isEqualTo(INVALID);
            assertThat(first.freed).as("it has an owner").isEmpty();
            assertThat(ids.duplicates()).isEqualTo(1);
            assertThat(trouble).containsExactly("the custom allocator handed out 100 twice");
            assertThat(find(id)).isEqualTo(IoasidFind.FOUND);
            assertThat(keeper.got).isSameAs(owner);
            assertThat(allocate()).as("another one").isEqualTo(101);
            assertThat(ids.liveIds()).isEqualTo(2);
        }

        @Test
        @Tag("S14")
        void anIdOutsideOfTheRangeIsGivenBackAndTheAllocationRefused() throws IommufdException {
            ids.register(a);
            for (int wrong : new int[] {1001, 0, IoasidAllocator.LAST + 1}) {
                first.next(wrong);
                assertThat(allocate()).isEqualTo(INVALID);
                assertThat(first.freed).last().isEqualTo(wrong);
                assertThat(find(wrong)).isEqualTo(IoasidFind.MISSING);
            }
            assertThat(ids.outOfRange()).isEqualTo(3);
            assertThat(trouble).hasSize(3);
            assertThat(first.out).isEmpty();
        }

        @Test
        @Tag("S14")
        void anIdThatCannotBeTrackedIsGivenBack() throws IommufdException {
            ids.register(a);
            failures.arm(3);
            assertThat(allocate()).isEqualTo(INVALID);
            assertThat(failures.remaining()).isZero();
            assertThat(first.freed).containsExactly(100);
            assertThat(ids.liveIds()).isZero();
            assertThat(allocate()).isEqualTo(100);
        }

        @Test
        @Tag("S14")
        void anIdIsFoundByNobodyWhenItGoesBack() throws IommufdException {
            ids.register(a);
            int id = allocate();
            List<IoasidFind> seen = new ArrayList<>();
            first.onFree(() -> seen.add(find(id)));
            assertThat(ids.put(id)).isTrue();
            assertThat(seen).containsExactly(IoasidFind.MISSING);
        }

        @Test
        @Tag("S14")
        void anIdThatIsNotTakenBackIsCountedAsLost() throws IommufdException {
            ids.register(a);
            int id = allocate();
            first.refusesFree();
            assertThat(ids.put(id)).isTrue();
            assertThat(find(id)).isEqualTo(IoasidFind.MISSING);
            assertThat(ids.lost()).isEqualTo(1);
            assertThat(trouble).containsExactly("the custom allocator did not take 100 back");
        }
    }
}

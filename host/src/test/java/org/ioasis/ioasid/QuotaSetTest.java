// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.host.Refusals.refusal;
import static org.ioasis.ioasid.IoasidAllocator.INVALID;
import static org.ioasis.ioasid.IoasidAllocator.LAST;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Sets with quotas, numbers of their own, and notifiers (2.5). */
class QuotaSetTest {
    private final IoasidAllocator ids = new IoasidAllocator();
    private final IoasidSets sets = new IoasidSets(ids, 10);
    private final List<String> heard = new ArrayList<>();

    private QuotaSet<Owned> set(String token, int quota) throws IommufdException {
        return sets.create(token, token, Owned.class, quota);
    }

    private IoasidNotifier hearing(String who) {
        return (event, set, id, spid) ->
                heard.add("%s %s %s %d %d".formatted(who, event, set, id, spid));
    }

    @Nested
    @DisplayName("quotas")
    class Quotas {
        @Test
        @Tag("S17")
        void aSetHasAsManyIdsAsItsQuotaAndNotOneMore() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 3);
            for (int id = 1; id <= 3; id++) {
                assertThat(vm.allocate(1, LAST, null)).isEqualTo(id);
            }
            assertThat(refusal(() -> vm.allocate(1, LAST, null))).isEqualTo(Errno.ENOSPC);
            assertThat(vm.used()).isEqualTo(3);
            vm.free(2);
            assertThat(vm.allocate(1, LAST, null)).isEqualTo(2);
            assertThat(ids.allocate(1, LAST, null)).as("others have ids").isEqualTo(4);
        }

        @Test
        void quotasSumUpToTheCapacityAndNotOneMore() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 6);
            assertThat(refusal(() -> set("other", 5))).isEqualTo(Errno.ENOSPC);
            assertThat(set("other", 4).quota()).isEqualTo(4);
            assertThat(sets.left()).isZero();
            assertThat(refusal(() -> vm.quota(7))).isEqualTo(Errno.ENOSPC);
            vm.quota(5);
            assertThat(sets.left()).isEqualTo(1);
            vm.quota(6);
            assertThat(sets.left()).isZero();
        }

        @Test
        void aQuotaIsNotLessThanWhatIsUsed() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 3);
            assertThat(vm.allocate(1, LAST, null)).isPositive();
            assertThat(vm.allocate(1, LAST, null)).isPositive();
            assertThat(refusal(() -> vm.quota(1))).isEqualTo(Errno.EINVAL);
            vm.quota(2);
            assertThat(refusal(() -> vm.allocate(1, LAST, null))).isEqualTo(Errno.ENOSPC);
            assertThat(refusal(() -> vm.quota(0))).isEqualTo(Errno.EINVAL);
            assertThat(refusal(() -> set("none", 0))).isEqualTo(Errno.EINVAL);
        }

        @Test
        void aFreedIdCountsUntilItsLastReferenceIsGone() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 1);
            int id = vm.allocate(1, LAST, null);
            assertThat(vm.get(id)).isTrue();
            vm.free(id);
            assertThat(vm.used()).isEqualTo(1);
            assertThat(refusal(() -> vm.allocate(1, LAST, null))).isEqualTo(Errno.ENOSPC);
            assertThat(vm.put(id)).isTrue();
            assertThat(vm.allocate(1, LAST, null)).isEqualTo(id);
        }

        @Test
        void idsThatAreLostWithTheirAllocatorNoLongerCount() throws IommufdException {
            ScriptedBackend backend = new ScriptedBackend();
            IoasidOps<String> ops = backend.ops("a");
            ids.register(ops);
            QuotaSet<Owned> vm = set("vm", 1);
            int id = vm.allocate(1, LAST, null);
            vm.attachSpid(id, 5);
            assertThat(ids.unregister(ops)).isEqualTo(new Unregistered(true, 1));
            assertThat(vm.used()).isZero();
            assertThat(vm.findBySpid(5)).isEqualTo(INVALID);
            assertThat(vm.allocate(1, LAST, null)).isEqualTo(1);
        }
    }

    @Nested
    @DisplayName("life of sets")
    class Life {
        @Test
        void aTokenHasOneSet() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 3);
            assertThat(sets.byToken("vm")).isSameAs(vm);
            assertThat(refusal(() -> set("vm", 1))).isEqualTo(Errno.EEXIST);
            assertThat(sets.left()).isEqualTo(7);
            assertThat(sets.create(null, "nameless", Owned.class, 1).quota()).isEqualTo(1);
            assertThat(sets.create(null, "nameless", Owned.class, 1).quota()).isEqualTo(1);
        }

        @Test
        void aSetEndsWithItsLastReferenceAndItsLastId() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 3);
            assertThat(vm.retain()).isTrue();
            int id = vm.allocate(1, LAST, null);
            vm.release();
            vm.release();
            assertThat(sets.byToken("vm")).as("an id is left").isSameAs(vm);
            assertThatThrownBy(vm::release).isInstanceOf(IllegalStateException.class);
            vm.free(id);
            assertThat(sets.byToken("vm")).isNull();
            assertThat(sets.left()).isEqualTo(10);
            assertThat(vm.retain()).isFalse();
            assertThat(refusal(() -> vm.allocate(1, LAST, null))).isEqualTo(Errno.ENOENT);
            assertThat(refusal(() -> vm.quota(1))).isEqualTo(Errno.ENOENT);
            assertThat(set("vm", 10).quota()).isEqualTo(10);
        }

        @Test
        void idsComeAndGoByTheMethodsThatNotify() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 3);
            int id = vm.allocate(1, LAST, null);
            assertThatThrownBy(() -> ids.allocate(vm, 1, LAST, null))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> ids.free(id)).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> ids.put(id)).isInstanceOf(IllegalArgumentException.class);
            assertThat(vm.used()).isEqualTo(1);
        }

        @Test
        void aSetTouchesNoIdOfAnother() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 3);
            QuotaSet<Owned> stranger = set("stranger", 3);
            int id = vm.allocate(1, LAST, null);
            assertThat(stranger.get(id)).isFalse();
            assertThat(stranger.put(id)).isFalse();
            stranger.free(id);
            stranger.unbind(id);
            assertThat(refusal(() -> stranger.bind(id))).isEqualTo(Errno.ENOENT);
            assertThat(refusal(() -> stranger.attachSpid(id, 1))).isEqualTo(Errno.ENOENT);
            assertThat(vm.get(id)).isTrue();
        }

        @Test
        void everyIdOfASetIsVisitedAndNoOther() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 4);
            QuotaSet<Owned> stranger = set("stranger", 3);
            int one = vm.allocate(1, LAST, null);
            assertThat(stranger.allocate(1, LAST, null)).isPositive();
            int two = vm.allocate(5000, LAST, null);
            int gone = vm.allocate(1, LAST, null);
            assertThat(vm.get(gone)).isTrue();
            vm.free(gone);
            List<Integer> visited = new ArrayList<>();
            vm.forEach(id -> {
                visited.add(id);
                vm.free(id);
            });
            assertThat(visited).containsExactly(one, two);
            assertThat(vm.used()).isEqualTo(1);
        }
    }

    @Nested
    @DisplayName("numbers inside a set")
    class Numbers {
        private final Owned.Keeper keeper = new Owned.Keeper();

        @Test
        @Tag("S17")
        void aGuestsPasidLeadsToTheHostsInItsOwnSet() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 3);
            QuotaSet<Owned> other = set("other", 3);
            Owned mine = new Owned("mine");
            int one = vm.allocate(1, LAST, mine);
            int two = other.allocate(1, LAST, null);
            vm.attachSpid(one, LAST);
            other.attachSpid(two, LAST);
            assertThat(vm.findBySpid(LAST)).isEqualTo(one);
            assertThat(other.findBySpid(LAST)).isEqualTo(two);
            assertThat(vm.findBySpid(0)).isEqualTo(INVALID);
            try (IoasidReader reader = ids.openReader()) {
                assertThat(reader.findBySpid(vm, LAST, keeper)).isEqualTo(IoasidFind.FOUND);
                assertThat(keeper.got).isSameAs(mine);
                assertThat(reader.findBySpid(other, LAST, keeper)).isEqualTo(IoasidFind.NOT_YET);
                assertThat(reader.findBySpid(other, 0, keeper)).isEqualTo(IoasidFind.MISSING);
            }
        }

        @Test
        void aNumberIsOneIdsAndAnIdHasOne() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 3);
            int one = vm.allocate(1, LAST, null);
            int two = vm.allocate(1, LAST, null);
            vm.attachSpid(one, 5);
            assertThat(refusal(() -> vm.attachSpid(two, 5))).isEqualTo(Errno.EEXIST);
            assertThat(refusal(() -> vm.attachSpid(one, 6))).isEqualTo(Errno.EBUSY);
            assertThat(refusal(() -> vm.attachSpid(two, LAST + 1))).isEqualTo(Errno.EINVAL);
            assertThat(refusal(() -> vm.attachSpid(two, -1))).isEqualTo(Errno.EINVAL);
            assertThat(refusal(() -> vm.detachSpid(6))).isEqualTo(Errno.ENOENT);
            vm.detachSpid(5);
            assertThat(vm.findBySpid(5)).isEqualTo(INVALID);
            vm.attachSpid(two, 5);
            vm.attachSpid(one, 6);
            assertThat(vm.findBySpid(5)).isEqualTo(two);
        }

        @Test
        void aNumberIsGoneWithItsId() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 3);
            int id = vm.allocate(1, LAST, new Owned("mm"));
            vm.attachSpid(id, 5);
            assertThat(vm.get(id)).isTrue();
            vm.free(id);
            assertThat(vm.findBySpid(5)).isEqualTo(INVALID);
            int next = vm.allocate(1, LAST, null);
            assertThat(refusal(() -> vm.attachSpid(next, 5)))
                    .as("the freed id keeps it")
                    .isEqualTo(Errno.EEXIST);
            assertThat(vm.put(id)).isTrue();
            vm.attachSpid(next, 5);
            assertThat(vm.findBySpid(5)).isEqualTo(next);
        }
    }

    @Nested
    @DisplayName("notifiers")
    class Notifiers {
        @Test
        void theProcessorHearsFirstThenTheDeviceThenTheIommu() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 3);
            sets.listen(hearing("last"), NotifierPriority.LAST);
            sets.listen("vm", hearing("iommu"), NotifierPriority.IOMMU);
            sets.listen("vm", hearing("device"), NotifierPriority.DEVICE);
            sets.listen(hearing("kvm"), NotifierPriority.CPU);
            sets.listen("vm", hearing("another device"), NotifierPriority.DEVICE);
            sets.listen("another", hearing("stranger"), NotifierPriority.CPU);
            int id = vm.allocate(1, LAST, null);
            assertThat(heard)
                    .containsExactly(
                            "kvm ALLOC vm 1 -1",
                            "device ALLOC vm 1 -1",
                            "another device ALLOC vm 1 -1",
                            "iommu ALLOC vm 1 -1",
                            "last ALLOC vm 1 -1");
            heard.clear();
            vm.free(id);
            assertThat(heard)
                    .containsExactly(
                            "kvm FREE vm 1 -1",
                            "device FREE vm 1 -1",
                            "another device FREE vm 1 -1",
                            "iommu FREE vm 1 -1",
                            "last FREE vm 1 -1");
        }

        @Test
        void eachTransitionIsToldOnce() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 3);
            sets.listen("vm", hearing("iommu"), NotifierPriority.IOMMU);
            int id = vm.allocate(1, LAST, null);
            vm.attachSpid(id, 9);
            vm.bind(id);
            assertThat(refusal(() -> vm.bind(id))).isEqualTo(Errno.EBUSY);
            vm.unbind(id);
            vm.unbind(id);
            assertThat(vm.get(id)).isTrue();
            vm.free(id);
            vm.free(id);
            assertThat(refusal(() -> vm.bind(id))).isEqualTo(Errno.ENOENT);
            assertThat(vm.put(id)).isTrue();
            vm.free(id);
            vm.unbind(id);
            assertThat(heard)
                    .containsExactly(
                            "iommu ALLOC vm 1 -1",
                            "iommu BIND vm 1 9",
                            "iommu UNBIND vm 1 9",
                            "iommu FREE vm 1 9");
        }

        @Test
        void theLastReferenceOfAnIdThatNobodyHasFreedIsToldAsItsEnd() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 3);
            int id = vm.allocate(1, LAST, null);
            vm.attachSpid(id, 9);
            assertThat(vm.get(id)).isTrue();
            sets.listen("vm", hearing("iommu"), NotifierPriority.IOMMU);
            assertThat(vm.put(id)).isFalse();
            assertThat(heard).isEmpty();
            assertThat(vm.put(id)).isTrue();
            assertThat(heard).containsExactly("iommu FREE vm 1 9");
            assertThat(vm.put(id)).isFalse();
            assertThat(vm.used()).isZero();
        }

        @Test
        void whoHoldsAnIdLetsGoInOrderAndOnlyThenItIsBack() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 3);
            for (NotifierPriority who :
                    List.of(
                            NotifierPriority.IOMMU,
                            NotifierPriority.CPU,
                            NotifierPriority.DEVICE)) {
                sets.listen(
                        "vm",
                        (event, set, id, _) -> {
                            if (event == IoasidEvent.ALLOC) {
                                assertThat(set.get(id)).isTrue();
                            } else if (event == IoasidEvent.FREE) {
                                set.unbind(id);
                                heard.add("%s lets go, used %d".formatted(who, set.used()));
                                assertThat(set.put(id)).as("free has one too").isFalse();
                            } else {
                                heard.add(who + " " + event);
                            }
                        },
                        who);
            }
            int id = vm.allocate(1, LAST, null);
            vm.bind(id);
            heard.clear();
            vm.free(id);
            assertThat(heard)
                    .containsExactly(
                            "CPU UNBIND",
                            "DEVICE UNBIND",
                            "IOMMU UNBIND",
                            "CPU lets go, used 1",
                            "DEVICE lets go, used 1",
                            "IOMMU lets go, used 1");
            assertThat(vm.used()).isZero();
        }

        @Test
        void whoRegistersForATokenBeforeItsSetIsThereHearsOfIt() throws IommufdException {
            sets.listen("vm", hearing("kvm"), NotifierPriority.CPU);
            sets.listen("never", hearing("nobody"), NotifierPriority.CPU);
            int id = set("vm", 3).allocate(1, LAST, null);
            assertThat(heard).containsExactly("kvm ALLOC vm %d -1".formatted(id));
        }

        @Test
        void whoIsSilencedHearsNothing() throws IommufdException {
            IoasidNotifier kvm = hearing("kvm");
            IoasidNotifier other = hearing("other");
            sets.listen(kvm, NotifierPriority.CPU);
            sets.listen("vm", kvm, NotifierPriority.CPU);
            sets.listen("later", kvm, NotifierPriority.CPU);
            sets.listen("vm", other, NotifierPriority.CPU);
            sets.silence(kvm);
            assertThat(set("vm", 3).allocate(1, LAST, null)).isEqualTo(1);
            assertThat(set("later", 3).allocate(1, LAST, null)).isEqualTo(2);
            assertThat(heard).containsExactly("other ALLOC vm 1 -1");
        }

        @Test
        void anAllocationThatIsRefusedIsNotTold() throws IommufdException {
            QuotaSet<Owned> vm = set("vm", 1);
            sets.listen(hearing("iommu"), NotifierPriority.IOMMU);
            assertThat(refusal(() -> vm.allocate(9, 8, null))).isEqualTo(Errno.ENOSPC);
            assertThat(vm.allocate(1, LAST, null)).isEqualTo(1);
            assertThat(refusal(() -> vm.allocate(1, LAST, null))).isEqualTo(Errno.ENOSPC);
            assertThat(heard).containsExactly("iommu ALLOC vm 1 -1");
        }
    }
}

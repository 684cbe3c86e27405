// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.host.Refusals.refusal;
import static org.ioasis.ioasid.IoasidAllocator.INVALID;
import static org.ioasis.ioasid.IoasidAllocator.LAST;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The calls of the allocator, one after the other. */
class IoasidAllocatorTest {
    private final IoasidAllocator ids = new IoasidAllocator();
    private final IoasidSet<Owned> set = new IoasidSet<>("shared", Owned.class);
    private final IoasidSet<String> other = new IoasidSet<>("other", String.class);
    private final IoasidReader reader = ids.openReader();
    private final Owned.Keeper keeper = new Owned.Keeper();

    @AfterEach
    void readersAreGivenBack() {
        reader.close();
    }

    @Nested
    @DisplayName("alloc of the default allocator (2.2)")
    class Allocate {
        @Test
        @Tag("S13")
        void theLowestFreeIdOfTheRangeIsHandedOut() {
            assertThat(ids.allocate(set, 5, 9, null)).isEqualTo(5);
            assertThat(ids.allocate(set, 1, 9, null)).isEqualTo(1);
            assertThat(ids.allocate(set, 5, 9, null)).isEqualTo(6);
            assertThat(ids.put(5)).isTrue();
            assertThat(ids.allocate(set, 2, 9, null)).isEqualTo(2);
            assertThat(ids.allocate(set, 5, 9, null)).isEqualTo(5);
            assertThat(ids.liveIds()).isEqualTo(4);
        }

        @Test
        @Tag("S13")
        void theLastIdOfARangeIsHandedOutAndThenNone() {
            for (int id = 60; id <= 70; id++) {
                assertThat(ids.allocate(set, 60, 70, null)).isEqualTo(id);
            }
            assertThat(ids.allocate(set, 60, 70, null)).isEqualTo(INVALID);
            assertThat(ids.refusals()).isEqualTo(1);
            assertThat(ids.liveIds()).isEqualTo(11);
        }

        @Test
        @Tag("S13")
        void allIdsAreHandedOutOnceAndInOrder() {
            for (int id = 0; id <= LAST; id++) {
                if (ids.allocate(0, LAST, null) != id) {
                    throw new AssertionError(id);
                }
            }
            assertThat(ids.allocate(0, LAST, null)).isEqualTo(INVALID);
            assertThat(ids.put(70_000)).isTrue();
            assertThat(ids.put(LAST)).isTrue();
            assertThat(ids.allocate(0, LAST, null)).isEqualTo(70_000);
            assertThat(ids.allocate(0, LAST, null)).isEqualTo(LAST);
        }

        @Test
        @Tag("S13")
        void aRangeIsUnsignedAndEndsWithTheHighestPasid() {
            assertThat(ids.allocate(set, LAST, -1, null)).isEqualTo(LAST);
            assertThat(ids.allocate(set, LAST, -1, null)).isEqualTo(INVALID);
            assertThat(ids.allocate(set, LAST + 1, -1, null)).isEqualTo(INVALID);
            assertThat(ids.allocate(set, -2, -1, null)).isEqualTo(INVALID);
            assertThat(ids.allocate(set, 9, 8, null)).isEqualTo(INVALID);
            assertThat(ids.liveIds()).isEqualTo(1);
        }

        @Test
        @Tag("S13")
        void everyAnswerIsThatOfAPlainModel() {
            SplittableRandom random = new SplittableRandom(20190219);
            TreeMap<Integer, Owned> model = new TreeMap<>();
            int handedOut = 0;
            for (int step = 0; step < 20_000; step++) {
                if (random.nextInt(3) > 0) {
                    int first = random.nextInt(3000);
                    int last = first + random.nextInt(200);
                    int expected = first;
                    while (model.containsKey(expected)) {
                        expected++;
                    }
                    Owned owner = new Owned("step " + step);
                    int id = ids.allocate(set, first, last, owner);
                    assertThat(id).isEqualTo(expected <= last ? expected : INVALID);
                    if (id != INVALID) {
                        model.put(id, owner);
                        handedOut++;
                    }
                } else {
                    int id = random.nextInt(3200);
                    assertThat(ids.put(id)).isEqualTo(model.remove(id) != null);
                }
                int id = random.nextInt(3200);
                Owned owner = model.get(id);
                keeper.got = null;
                assertThat(reader.find(set, id, keeper))
                        .isEqualTo(owner == null ? IoasidFind.MISSING : IoasidFind.FOUND);
                assertThat(keeper.got).isSameAs(owner);
                assertThat(ids.liveIds()).isEqualTo(model.size());
            }
            assertThat(handedOut).isGreaterThan(3000);
        }
    }

    @Nested
    @DisplayName("get, put and free (2.2)")
    class References {
        @Test
        void anIdGoesBackWithItsLastReference() {
            int id = ids.allocate(set, 1, 9, new Owned("mm"));
            assertThat(ids.get(id)).isTrue();
            assertThat(ids.put(id)).isFalse();
            assertThat(reader.find(set, id, keeper)).isEqualTo(IoasidFind.FOUND);
            assertThat(ids.put(id)).isTrue();
            assertThat(reader.find(set, id, keeper)).isEqualTo(IoasidFind.MISSING);
            assertThat(ids.allocate(set, 1, 9, null)).isEqualTo(id);
        }

        @Test
        void whatIsUnknownIsCountedAndNothingElse() {
            assertThat(ids.get(7)).isFalse();
            assertThat(ids.put(7)).isFalse();
            assertThat(ids.free(7)).isFalse();
            assertThat(ids.put(INVALID)).isFalse();
            assertThat(ids.unknown()).isEqualTo(4);
            assertThat(ids.liveIds()).isZero();
        }

        @Test
        void aFreedIdIsFoundByNobodyAndKeptByItsReferences() {
            int id = ids.allocate(set, 1, 9, new Owned("mm"));
            assertThat(ids.get(id)).isTrue();

            assertThat(ids.free(id)).isFalse();
            assertThat(ids.free(id)).as("a second time").isFalse();
            assertThat(reader.find(set, id, keeper)).isEqualTo(IoasidFind.MISSING);
            assertThat(ids.get(id)).isFalse();
            assertThat(refusal(() -> ids.setData(set, id, new Owned("late"))))
                    .isEqualTo(Errno.ENOENT);
            assertThat(ids.allocate(set, id, id, null)).isEqualTo(INVALID);
            assertThat(ids.liveIds()).isEqualTo(1);

            assertThat(ids.put(id)).isTrue();
            assertThat(ids.allocate(set, id, id, null)).isEqualTo(id);
            assertThat(ids.free(id)).isTrue();
            assertThat(ids.liveIds()).isZero();
        }
    }

    @Nested
    @DisplayName("set_data and find (2.2)")
    class Data {
        @Test
        @Tag("S18")
        void anIdWhosePrivateDataComesLaterIsFoundAsNotYetThere() throws IommufdException {
            int id = ids.allocate(set, 1, 9, null);
            assertThat(reader.find(set, id, keeper)).isEqualTo(IoasidFind.NOT_YET);
            assertThat(reader.find(id, keeper)).isEqualTo(IoasidFind.NOT_YET);
            assertThat(keeper.calls).isZero();

            Owned owner = new Owned("mm");
            ids.setData(set, id, owner);
            assertThat(reader.find(set, id, keeper)).isEqualTo(IoasidFind.FOUND);
            assertThat(keeper.got).isSameAs(owner);

            ids.setData(set, id, null);
            assertThat(reader.find(set, id, keeper)).isEqualTo(IoasidFind.NOT_YET);
        }

        @Test
        @Tag("S18")
        void dataOfAnIdThatIsNotThereIsEnoent() {
            assertThat(refusal(() -> ids.setData(set, 3, new Owned("mm")))).isEqualTo(Errno.ENOENT);
            assertThat(refusal(() -> ids.setData(3, "mm"))).isEqualTo(Errno.ENOENT);
        }

        @Test
        @Tag("S17")
        void anIdIsFoundInItsSetAndInNoOther() {
            Owned owner = new Owned("mm");
            int id = ids.allocate(set, 1, 9, owner);
            assertThat(reader.find(set, id, keeper)).isEqualTo(IoasidFind.FOUND);
            assertThat(reader.find(other, id, keeper)).isEqualTo(IoasidFind.OTHER_SET);
            assertThat(reader.find(new IoasidSet<>("shared", Owned.class), id, keeper))
                    .as("a set of the same name")
                    .isEqualTo(IoasidFind.OTHER_SET);
            assertThat(keeper.calls).isEqualTo(1);
        }

        @Test
        @Tag("S17")
        void theNullSetFindsAnIdOfAnySetAndOwnsIdsOfNone() throws IommufdException {
            Owned owner = new Owned("mm");
            int id = ids.allocate(set, 1, 9, owner);
            int nobodys = ids.allocate(1, 9, "known to its maker");

            assertThat(reader.find(id, keeper)).isEqualTo(IoasidFind.FOUND);
            assertThat(keeper.got).isSameAs(owner);
            assertThat(reader.find(nobodys, keeper)).isEqualTo(IoasidFind.FOUND);
            assertThat(keeper.got).isEqualTo("known to its maker");
            assertThat(reader.find(other, nobodys, keeper)).isEqualTo(IoasidFind.OTHER_SET);
            ids.setData(nobodys, "something else");
            assertThat(reader.find(nobodys, keeper)).isEqualTo(IoasidFind.FOUND);
            assertThat(keeper.got).isEqualTo("something else");
        }

        @Test
        @Tag("S17")
        void onlyTheSetOfAnIdBindsSomethingToIt() {
            int id = ids.allocate(set, 1, 9, null);
            IoasidSet<Owned> stranger = new IoasidSet<>("stranger", Owned.class);
            assertThat(refusal(() -> ids.setData(stranger, id, new Owned("theirs"))))
                    .isEqualTo(Errno.EACCES);
            assertThat(reader.find(set, id, keeper)).isEqualTo(IoasidFind.NOT_YET);
        }

        @Test
        @Tag("S17")
        void dataOfAnotherTypeDoesNotGetIntoASet() {
            int id = ids.allocate(set, 1, 9, null);
            assertThatThrownBy(() -> ids.setData(id, "no Owned"))
                    .isInstanceOf(ClassCastException.class);
            assertThat(reader.find(set, id, keeper)).isEqualTo(IoasidFind.NOT_YET);
        }

        @Test
        @Tag("S19")
        void aGetterThatRefusesHasNotFoundIt() {
            int id = ids.allocate(set, 1, 9, new Owned("on its way out"));
            assertThat(reader.find(set, id, _ -> false)).isEqualTo(IoasidFind.REFUSED);
            assertThat(reader.find(id, _ -> false)).isEqualTo(IoasidFind.REFUSED);
        }

        @Test
        void numbersThatAreNoIdsAreMissing() {
            int[] none = {INVALID, Integer.MIN_VALUE, LAST + 1, Integer.MAX_VALUE, LAST, 0};
            List<IoasidFind> answers = new ArrayList<>();
            for (int id : none) {
                answers.add(reader.find(set, id, keeper));
            }
            assertThat(answers).hasSize(none.length).containsOnly(IoasidFind.MISSING);
        }
    }

    @Test
    @Tag("S19")
    void aChangeFromInsideAGetterIsRefusedForItWouldWaitForItself() {
        int id = ids.allocate(set, 1, 9, new Owned("mm"));
        List<Runnable> changes =
                List.of(
                        () -> ids.get(id),
                        () -> ids.openReader(),
                        () -> ids.liveIds(),
                        () -> ids.put(id),
                        () -> ids.free(id),
                        () -> ids.allocate(set, 1, 9, null),
                        () -> refusal(() -> ids.setData(set, id, null)));
        for (Runnable change : changes) {
            assertThatThrownBy(() ->
                            reader.find(
                                    set,
                                    id,
                                    _ -> {
                                        change.run();
                                        return true;
                                    }))
                    .isInstanceOf(IllegalStateException.class);
        }
        assertThat(reader.find(set, id, keeper)).isEqualTo(IoasidFind.FOUND);
        assertThat(ids.liveIds()).isEqualTo(1);
    }

    @Test
    void aReaderThatIsClosedIsTheNextOnes() {
        IoasidReader first = ids.openReader();
        first.close();
        first.close();
        try (IoasidReader second = ids.openReader();
                IoasidReader third = ids.openReader()) {
            assertThat(second).isSameAs(first);
            assertThat(third).isNotSameAs(first);
        }
    }
}

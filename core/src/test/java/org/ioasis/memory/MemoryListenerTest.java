// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Who keeps a copy of where guest memory is hears of it, and is waited for when it goes. */
class MemoryListenerTest {
    private static final long PAGE = 0x1000;

    private final Guards guards = new Guards(new HandClock(), lease -> {});
    private final GuestMemory memory = new GuestMemory(guards, 3);
    private final List<String> heard = new ArrayList<>();
    private final Copy a = new Copy("a");
    private final Copy b = new Copy("b");

    /** Notes what it is told, and keeps what it owes. */
    private final class Copy implements MemoryListener {
        private final String name;
        private final Deque<Runnable> owed = new ArrayDeque<>();
        private boolean isLate = true;

        Copy(String name) {
            this.name = name;
        }

        @Override
        public void appeared(Region region) {
            heard.add("%s+%x..%x".formatted(name, region.gpaFirst(), region.gpaLast()));
        }

        @Override
        public void vanished(long gpaFirst, long gpaLast, Runnable letGo) {
            heard.add("%s-%x..%x".formatted(name, gpaFirst, gpaLast));
            assertThat(memory.find(gpaFirst)).as("it is not found any more").isNull();
            if (isLate) {
                owed.add(letGo);
            } else {
                letGo.run();
            }
        }
    }

    private void add(long gpa) {
        assertThat(memory.add(Ram.ram(gpa, PAGE))).isEqualTo(GuestMemory.Change.DONE);
    }

    private void remove(long first, long last) {
        assertThat(memory.remove(first, last, () -> heard.add("gone")))
                .isEqualTo(GuestMemory.Change.DONE);
    }

    private List<String> take() {
        List<String> taken = List.copyOf(heard);
        heard.clear();
        return taken;
    }

    @Test
    void aListenerHearsOfWhatIsThereAndOfEachRegionThatComes() {
        add(0x1000);
        memory.listen(a);
        assertThat(take()).containsExactly("a+1000..1fff");

        add(0x8000);
        assertThat(take()).containsExactly("a+8000..8fff");
    }

    @Test
    void changesThatAreRefusedAreNotHeard() {
        memory.listen(a);
        add(0);
        add(0x1000);
        add(0x2000);
        take();

        assertThat(memory.add(Ram.ram(0x1000, PAGE))).isEqualTo(GuestMemory.Change.OVERLAPS);
        assertThat(memory.add(Ram.ram(0x3000, PAGE))).isEqualTo(GuestMemory.Change.LIMIT);
        assertThat(memory.remove(0x5000, 0x5fff, () -> heard.add("gone")))
                .isEqualTo(GuestMemory.Change.MISSING);
        assertThat(memory.remove(0, 0x17ff, () -> heard.add("gone")))
                .isEqualTo(GuestMemory.Change.CUTS);

        assertThat(take()).isEmpty();
    }

    @Test
    void memoryIsGoneWhenEachListenerHasLetGo() {
        memory.listen(a);
        memory.listen(b);
        add(0);
        add(0x1000);
        take();

        remove(0, 0x1fff);

        assertThat(take()).as("side by side").containsExactly("a-0..1fff", "b-0..1fff");
        b.owed.remove().run();
        assertThat(take()).isEmpty();
        a.owed.remove().run();
        assertThat(take()).containsExactly("gone");
    }

    @Test
    void memoryIsGoneWhenNeitherAListenerNorAnAccessOfOursIsInIt() {
        memory.listen(a);
        add(0);
        Guard guard = guards.open();
        guard.enter();
        take();

        remove(0, 0xfff);
        a.owed.remove().run();

        assertThat(take()).containsExactly("a-0..fff");
        guard.leave();
        assertThat(guards.poll()).isEqualTo(1);
        assertThat(take()).containsExactly("gone");
    }

    @Test
    void whatComesBackMeanwhileIsHeardInOrderAndWaitsForNobody() {
        memory.listen(a);
        add(0);
        remove(0, 0xfff);
        add(0);

        assertThat(take()).containsExactly("a+0..fff", "a-0..fff", "a+0..fff");
        a.owed.remove().run();
        assertThat(take()).containsExactly("gone");
        assertThat(memory.find(0)).isNotNull();
    }

    @Test
    void allOfItAtOnceIsWaitedForAndNothingIsHeardOfNothing() {
        memory.listen(a);
        add(0);
        add(0x1000);
        take();

        memory.clear(() -> heard.add("gone"));
        assertThat(take()).containsExactly("a-0..ffffffffffffffff");
        a.owed.remove().run();
        assertThat(take()).containsExactly("gone");

        memory.clear(() -> heard.add("gone"));
        assertThat(take()).containsExactly("gone");
    }

    @Test
    void lettingGoTwiceIsAMistakeOfTheListener() {
        memory.listen(a);
        add(0);
        remove(0, 0xfff);
        Runnable letGo = a.owed.remove();
        letGo.run();

        assertThatThrownBy(letGo::run).isInstanceOf(IllegalStateException.class);
        assertThat(take()).endsWith("gone").containsOnlyOnce("gone");
    }

    @Test
    void aListenerThatAnswersAtOnceHoldsNothingUp() {
        a.isLate = false;
        memory.listen(a);
        add(0);
        take();

        remove(0, 0xfff);

        assertThat(take()).containsExactly("a-0..fff", "gone");
    }
}

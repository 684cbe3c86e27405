// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.iommu.Machine.RAM;
import static org.ioasis.iommu.mapping.MapFlags.READ;
import static org.ioasis.iommu.mapping.MapFlags.WRITE;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.ioasis.memory.Outcome;
import org.junit.jupiter.api.Test;

/** Endpoints that keep a copy of their mappings: order, replay, refusal, late answers. */
class ListenerTest {
    private final Machine m = new Machine(Machine.STRICT);
    private final Endpoint one = m.plug(1);
    private final Endpoint two = m.plug(2);
    private final List<String> heard = new ArrayList<>();
    private final Replies replies = new Replies();

    /** Notes each call; answers at once, or keeps the answer when {@code isLate}. */
    private final class Copy implements DomainListener {
        private final String name;
        private final Set<Long> refuses = new HashSet<>();
        private final Deque<Answer> owed = new ArrayDeque<>();
        private boolean isLate;

        Copy(String name) {
            this.name = name;
        }

        @Override
        public void mapped(long first, long last, long output, int flags, Answer answer) {
            heard.add("%s+%x..%x>%x/%d".formatted(name, first, last, output, flags));
            if (refuses.contains(first)) {
                answer.refused(Status.NOMEM);
            } else {
                answer(answer);
            }
        }

        @Override
        public void unmapped(long first, long last, Answer answer) {
            heard.add("%s-%x..%x".formatted(name, first, last));
            answer(answer);
        }

        private void answer(Answer answer) {
            if (isLate) {
                owed.add(answer);
            } else {
                answer.ok();
            }
        }

        @Override
        public void cleared() {
            heard.add(name + " cleared");
        }
    }

    private final Copy a = new Copy("a");
    private final Copy b = new Copy("b");

    private void listen() {
        m.iommu.listen(one, a);
        m.iommu.listen(two, b);
    }

    private void both() {
        listen();
        m.attach(1, 7);
        m.attach(2, 7);
    }

    private List<String> take() {
        List<String> taken = List.copyOf(heard);
        heard.clear();
        return taken;
    }

    @Test
    void aListenerMustBeThereBeforeTheAttach() {
        m.attach(1, 7);

        assertThatThrownBy(() -> m.iommu.listen(one, a)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void mapAndUnmapAreHeardInOrderBeforeTheAnswer() {
        both();

        m.iommu.map(7, 0, 0xfff, RAM, READ, status -> heard.add("answer " + status));
        m.iommu.unmap(7, 0, 0xfff, status -> heard.add("answer " + status));

        assertThat(take())
                .containsExactly(
                        "a+0..fff>100000/1",
                        "b+0..fff>100000/1",
                        "answer OK",
                        "a-0..fff",
                        "b-0..fff",
                        "answer OK");
    }

    @Test
    void refusedRequestsAreNotHeard() {
        both();
        m.map(7, 0, 0x1fff, RAM, READ);
        take();

        m.map(7, 0, 0xfff, RAM, READ);
        m.unmap(7, 0, 0xfff);
        m.unmap(7, 0x10000, 0x10fff);

        assertThat(take()).isEmpty();
    }

    @Test
    void unmapIsOneCallForEachMergedRun() {
        listen();
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        m.map(7, 0x1000, 0x1fff, RAM + 0x1000, READ);
        m.map(7, 0x2000, 0x2fff, RAM + 0x2000, READ | WRITE);
        m.map(7, 0x4000, 0x4fff, RAM + 0x4000, READ);
        take();

        m.unmap(7, 0, -1L);

        assertThat(take()).containsExactly("a-0..1fff", "a-2000..2fff", "a-4000..4fff");
    }

    @Test
    void attachReplaysAndDetachTakesAway() {
        listen();
        m.attach(2, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        m.map(7, 0x1000, 0x1fff, RAM + 0x1000, READ);
        m.plug(3);
        m.attach(3, 8);
        m.map(8, 0x8000, 0x8fff, RAM, WRITE);
        take();

        m.attach(1, 7);
        assertThat(take()).containsExactly("a+0..1fff>100000/1");
        m.attach(1, 8);
        assertThat(take()).containsExactly("a-0..1fff", "a+8000..8fff>100000/2");
        m.detach(1, 8);
        assertThat(take()).containsExactly("a-8000..8fff");
    }

    @Test
    void aRefusedMapIsTakenBackInReverseOrderAndLeavesNothing() {
        both();
        Endpoint three = m.plug(3);
        Copy c = new Copy("c");
        m.iommu.listen(three, c);
        m.attach(3, 7);
        c.refuses.add(0L);
        String before = m.digest();

        assertThat(m.map(7, 0, 0xfff, RAM, READ)).isEqualTo(Status.NOMEM);

        assertThat(take())
                .containsExactly(
                        "a+0..fff>100000/1",
                        "b+0..fff>100000/1",
                        "c+0..fff>100000/1",
                        "b-0..fff",
                        "a-0..fff");
        assertThat(m.digest()).isEqualTo(before);
        assertThat(m.read(m.dma(one), 0)).isEqualTo(Outcome.FAULT);
    }

    @Test
    void aRefusedAttachLeavesTheEndpointWhereItWas() {
        listen();
        m.attach(2, 8);
        m.map(8, 0, 0xfff, RAM, READ);
        m.map(8, 0x2000, 0x2fff, RAM, READ);
        m.attach(1, 7);
        m.map(7, 0x9000, 0x9fff, RAM, READ);
        take();
        a.refuses.add(0x2000L);
        String before = m.digest();

        assertThat(m.attach(1, 8)).isEqualTo(Status.NOMEM);

        assertThat(take())
                .containsExactly(
                        "a-9000..9fff",
                        "a+0..fff>100000/1",
                        "a+2000..2fff>100000/1",
                        "a-0..fff",
                        "a+9000..9fff>100000/1");
        assertThat(m.digest()).isEqualTo(before);
    }

    @Test
    void aLateAnswerHoldsUpItsDomainOnly() {
        listen();
        m.attach(1, 7);
        m.attach(2, 8);
        a.isLate = true;

        m.iommu.map(7, 0, 0xfff, RAM, READ, replies.as("map7"));
        m.iommu.unmap(7, 0, 0xfff, replies.as("unmap7"));
        m.iommu.map(8, 0, 0xfff, RAM, READ, replies.as("map8"));
        m.iommu.attach(1, 9, false, replies.as("move1"));

        assertThat(replies.all()).containsExactly("map8=OK");
        assertThat(take()).containsExactly("a+0..fff>100000/1", "b+0..fff>100000/1");
        a.owed.remove().ok();
        assertThat(replies.all()).containsExactly("map8=OK", "map7=OK");
        assertThat(take()).containsExactly("a-0..fff");
        a.owed.remove().ok();
        assertThat(replies.all()).containsExactly("map8=OK", "map7=OK", "unmap7=OK", "move1=OK");
        assertThat(one.domainId()).isEqualTo(9);
    }

    @Test
    void whatWaitsIsNotOvertakenByWhatComesLater() {
        listen();
        m.attach(1, 7);
        a.isLate = true;
        m.iommu.map(7, 0, 0xfff, RAM, READ, replies.as("map"));
        m.iommu.attach(1, 9, false, replies.as("attach9"));

        m.iommu.map(9, 0, 0xfff, RAM, READ, replies.as("map9"));
        m.iommu.unmap(9, 0, 0xfff, replies.as("unmap9"));
        m.iommu.detach(1, 9, replies.as("detach"));
        m.iommu.attach(2, 8, false, replies.as("other"));

        assertThat(replies.all()).containsExactly("other=OK");
        a.isLate = false;
        a.owed.remove().ok();
        assertThat(replies.all())
                .containsExactly(
                        "other=OK", "map=OK", "attach9=OK", "map9=OK", "unmap9=OK", "detach=OK");
        assertThat(m.iommu.domainCount()).isEqualTo(1);
    }

    @Test
    void aLateRefusalIsTakenBackAndWhatWaitedGoesOn() {
        both();
        b.isLate = true;
        m.iommu.map(7, 0, 0xfff, RAM, READ, replies.as("map"));
        m.iommu.map(7, 0, 0x1fff, RAM, READ, replies.as("next"));

        b.owed.remove().refused(Status.INVAL);
        assertThat(replies.all()).containsExactly("map=INVAL");
        assertThat(take())
                .containsExactly(
                        "a+0..fff>100000/1",
                        "b+0..fff>100000/1",
                        "a-0..fff",
                        "a+0..1fff>100000/1",
                        "b+0..1fff>100000/1");
        b.owed.remove().ok();
        assertThat(replies.all()).containsExactly("map=INVAL", "next=OK");
    }

    @Test
    void resetForgetsLateAnswersAndWhatWaited() {
        listen();
        m.attach(1, 7);
        a.isLate = true;
        m.iommu.map(7, 0, 0xfff, RAM, READ, replies.as("map"));
        m.iommu.unmap(7, 0, 0xfff, replies.as("unmap"));

        m.iommu.reset();

        assertThat(take()).containsExactly("a+0..fff>100000/1", "a cleared");
        a.owed.remove().ok();
        assertThat(replies.all()).isEmpty();
        a.isLate = false;
        assertThat(m.attach(1, 7)).isEqualTo(Status.OK);
        assertThat(m.map(7, 0, 0xfff, RAM, READ)).isEqualTo(Status.OK);
        assertThat(m.iommu.mappingCount()).isEqualTo(1);
    }

    @Test
    void answersThatBreakTheRulesAreLoud() {
        listen();
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        a.isLate = true;
        m.iommu.unmap(7, 0, 0xfff, replies.as("unmap"));
        DomainListener.Answer answer = a.owed.remove();

        assertThatThrownBy(() -> answer.refused(Status.NOMEM))
                .isInstanceOf(IllegalStateException.class);
        answer.ok();
        assertThat(replies.all()).containsExactly("unmap=OK");
    }

    @Test
    void aListenerThatDoesNotTakeItsMappingBackIsClearedAndDetached() {
        listen();
        m.attach(2, 8);
        m.map(8, 0x2000, 0x2fff, RAM, READ);
        m.attach(1, 7);
        m.map(7, 0x9000, 0x9fff, RAM, READ);
        a.refuses.add(0x2000L);
        a.refuses.add(0x9000L);
        take();

        assertThat(m.attach(1, 8)).isEqualTo(Status.DEVERR);

        assertThat(take())
                .containsExactly(
                        "a-9000..9fff",
                        "a+2000..2fff>100000/1",
                        "a+9000..9fff>100000/1",
                        "a cleared");
        assertThat(m.iommu.endpoint(1)).matches(endpoint -> !endpoint.isAttached());
        assertThat(m.iommu.domainCount()).isEqualTo(1);
    }

    @Test
    void aSecondAnswerDoesNotCountForTheNextCall() {
        listen();
        m.attach(1, 7);
        a.isLate = true;
        m.iommu.map(7, 0, 0xfff, RAM, READ, replies.as("first"));
        DomainListener.Answer answer = a.owed.remove();
        answer.ok();
        m.iommu.map(7, 0x1000, 0x1fff, RAM, READ, replies.as("second"));

        assertThatThrownBy(answer::ok).isInstanceOf(IllegalStateException.class);
        assertThat(replies.all()).containsExactly("first=OK");
        a.owed.remove().ok();
        assertThat(replies.all()).containsExactly("first=OK", "second=OK");
    }

    @Test
    void aListenerWithManyRunsDoesNotRecurse() {
        listen();
        Machine many =
                new Machine(
                        new IommuOptions(
                                0x1000, 0, -1L, 0, -1, false, false, false, 4, 4, 1 << 20));
        Endpoint endpoint = many.plug(1);
        many.iommu.listen(endpoint, a);
        many.attach(1, 7);
        for (int i = 0; i < 20_000; i++) {
            many.map(7, i * 0x2000L, i * 0x2000L + 0xfff, RAM, READ);
        }
        take();

        assertThat(many.detach(1, 7)).isEqualTo(Status.OK);

        assertThat(take()).hasSize(20_000);
    }
}

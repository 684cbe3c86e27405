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
import org.ioasis.iommu.mapping.Blocked;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.junit.jupiter.api.Test;

/** Endpoints that keep a copy of their mappings: order, replay, refusal, late answers. */
class ListenerTest {
    private final Machine m = new Machine(Machine.STRICT);
    private final Endpoint one = m.plug(1);
    private final Endpoint two = m.plug(2);
    private final List<String> heard = new ArrayList<>();
    private final Replies replies = new Replies();

    /**
     * Notes what it is told, a batch as one; answers at once, or keeps the answer when {@code
     * isLate}.
     */
    private final class Copy implements DomainListener {
        private final String name;
        private final Set<Long> refuses = new HashSet<>();
        private final Deque<Answer> owed = new ArrayDeque<>();
        private final List<String> batch = new ArrayList<>();
        private boolean isOpen;
        private boolean mustRefuse;
        private boolean isLate;
        private boolean isFragile;

        Copy(String name) {
            this.name = name;
        }

        @Override
        public void begin() {
            assertThat(isOpen).as("batches do not nest").isFalse();
            isOpen = true;
            mustRefuse = false;
            batch.clear();
        }

        @Override
        public void translation(Kind kind) {
            note(kind.toString());
        }

        @Override
        public void mapped(long first, long last, long output, int flags) {
            note("+%x..%x>%x/%d".formatted(first, last, output, flags));
            mustRefuse |= refuses.contains(first);
        }

        @Override
        public void unmapped(long first, long last) {
            note("-%x..%x".formatted(first, last));
        }

        private void note(String what) {
            assertThat(isOpen).as("in a batch").isTrue();
            batch.add(what);
        }

        @Override
        public void commit(Answer answer) {
            assertThat(isOpen).isTrue();
            isOpen = false;
            heard.add(name + String.join(" ", batch));
            if (mustRefuse && isFragile) {
                answer.lost();
            } else if (mustRefuse) {
                answer.refused(Status.NOMEM);
            } else if (isLate) {
                owed.add(answer);
            } else {
                answer.ok();
            }
        }
    }

    private final Copy a = new Copy("a");
    private final Copy b = new Copy("b");

    private void listen() {
        m.iommu.listen(one.attachment(), a);
        m.iommu.listen(two.attachment(), b);
        assertThat(take()).containsExactly("aBLOCKED", "bBLOCKED");
    }

    private void both() {
        listen();
        m.attach(1, 7);
        m.attach(2, 7);
        take();
    }

    private List<String> take() {
        List<String> taken = List.copyOf(heard);
        heard.clear();
        return taken;
    }

    @Test
    void aListenerMustBeThereBeforeTheAttach() {
        m.attach(1, 7);

        assertThatThrownBy(() -> m.iommu.listen(one.attachment(), a))
                .isInstanceOf(IllegalStateException.class);
    }

    @Test
    void mapAndUnmapAreHeardInOrderBeforeTheAnswer() {
        both();

        m.requests.map(7, 0, 0xfff, RAM, READ, status -> heard.add("answer " + status));
        m.requests.unmap(7, 0, 0xfff, status -> heard.add("answer " + status));

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
    void unmapIsOneBatchOfMergedRuns() {
        listen();
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        m.map(7, 0x1000, 0x1fff, RAM + 0x1000, READ);
        m.map(7, 0x2000, 0x2fff, RAM + 0x2000, READ | WRITE);
        m.map(7, 0x4000, 0x4fff, RAM + 0x4000, READ);
        take();

        m.unmap(7, 0, -1L);

        assertThat(take()).containsExactly("a-0..1fff -2000..2fff -4000..4fff");
    }

    @Test
    void whatIsUnmappedIsNotFoundAnyMoreWhenTheBatchIsCommitted() {
        both();
        m.map(7, 0, 0xfff, RAM, READ);
        Dma dma = m.dma(one);
        List<Object> found = new ArrayList<>();
        DomainListener looking = new Looking(() -> found.add(m.read(dma, 0)));
        m.iommu.listen(m.plug(3).attachment(), looking);
        m.attach(3, 7);
        found.clear();

        m.unmap(7, 0, 0xfff);

        assertThat(found).containsExactly(Outcome.FAULT);
    }

    /** Looks around at each commit. */
    private record Looking(Runnable look) implements DomainListener {
        @Override
        public void begin() {}

        @Override
        public void translation(Kind kind) {}

        @Override
        public void mapped(long first, long last, long output, int flags) {}

        @Override
        public void unmapped(long first, long last) {}

        @Override
        public void commit(Answer answer) {
            look.run();
            answer.ok();
        }
    }

    @Test
    void everyKindOfDomainIsHeardWithAllThatIsMapped() {
        listen();
        m.attach(2, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        m.map(7, 0x1000, 0x1fff, RAM + 0x1000, READ);
        m.plug(3);
        m.attach(3, 8);
        m.map(8, 0x8000, 0x8fff, RAM, WRITE);
        Domain blocked = m.iommu.domain(99, Blocked.BLOCKED);
        take();

        m.attach(1, 7);
        assertThat(take()).containsExactly("aMAPPED +0..1fff>100000/1");
        m.attach(1, 8);
        assertThat(take()).containsExactly("aMAPPED +8000..8fff>100000/2");
        m.attach(1, 9, true);
        assertThat(take()).containsExactly("aIDENTITY");
        m.detach(1, 9);
        assertThat(take()).containsExactly("aBLOCKED");
        m.iommu.attach(one.attachment(), blocked, replies.as("blocked"));
        assertThat(replies.all()).containsExactly("blocked=OK");
        assertThat(take()).containsExactly("aBLOCKED");
        assertThat(m.read(m.dma(one), 0)).isEqualTo(Outcome.FAULT);
    }

    @Test
    void whoIsAttachedToNothingHearsOfBypass() {
        listen();
        m.attach(2, 7);
        take();

        m.iommu.bypass(true);
        assertThat(take()).containsExactly("aBYPASS");
        m.detach(2, 7);
        assertThat(take()).containsExactly("bBYPASS");
        m.iommu.bypass(false);
        assertThat(take()).containsExactlyInAnyOrder("aBLOCKED", "bBLOCKED");
    }

    @Test
    void aChangeOfBypassWhileAListenerIsBusyIsToldAfterIt() {
        listen();
        m.attach(1, 7);
        take();
        a.isLate = true;
        m.requests.detach(1, 7, replies.as("detach"));
        m.iommu.bypass(true);
        assertThat(take()).containsExactly("aBLOCKED", "bBYPASS");

        a.owed.remove().ok();

        assertThat(replies.all()).containsExactly("detach=OK");
        assertThat(take()).containsExactly("aBYPASS");
    }

    @Test
    void aRefusedMapIsTakenBackFromTheOthersAndLeavesNothing() {
        both();
        Endpoint three = m.plug(3);
        Copy c = new Copy("c");
        m.iommu.listen(three.attachment(), c);
        m.attach(3, 7);
        take();
        b.refuses.add(0L);
        String before = m.digest();

        assertThat(m.map(7, 0, 0xfff, RAM, READ)).isEqualTo(Status.NOMEM);

        assertThat(take())
                .containsExactly(
                        "a+0..fff>100000/1",
                        "b+0..fff>100000/1",
                        "c+0..fff>100000/1",
                        "a-0..fff",
                        "c-0..fff");
        assertThat(m.digest()).isEqualTo(before);
        assertThat(m.read(m.dma(one), 0)).isEqualTo(Outcome.FAULT);
    }

    @Test
    void listenersOfOneDomainWorkSideBySide() {
        both();
        a.isLate = true;
        b.isLate = true;

        m.requests.map(7, 0, 0xfff, RAM, READ, replies.as("map"));

        assertThat(take()).containsExactly("a+0..fff>100000/1", "b+0..fff>100000/1");
        b.owed.remove().ok();
        assertThat(replies.all()).isEmpty();
        a.owed.remove().ok();
        assertThat(replies.all()).containsExactly("map=OK");
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

        assertThat(take()).containsExactly("aMAPPED +0..fff>100000/1 +2000..2fff>100000/1");
        assertThat(m.digest()).isEqualTo(before);
    }

    @Test
    void whatAListenerTellsOfWritesGoesToTheDomain() {
        both();
        m.map(7, 0, 0x1fff, RAM, WRITE);
        List<String> dirty = new ArrayList<>();
        if (m.requests.domain(7) instanceof PagingDomain domain) {
            domain.dirtySink((first, last) -> dirty.add("%x..%x".formatted(first, last)));
        }
        a.isLate = true;
        m.requests.unmap(7, 0, 0x1fff, replies.as("unmap"));

        DomainListener.Answer answer = a.owed.remove();
        answer.dirtied(0x1000, 0x1fff);
        answer.ok();

        assertThat(dirty).containsExactly("1000..1fff");
        assertThat(replies.all()).containsExactly("unmap=OK");
        assertThatThrownBy(() -> answer.dirtied(0, 0)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void aLateAnswerHoldsUpItsDomainOnly() {
        listen();
        m.attach(1, 7);
        m.attach(2, 8);
        take();
        a.isLate = true;

        m.requests.map(7, 0, 0xfff, RAM, READ, replies.as("map7"));
        m.requests.unmap(7, 0, 0xfff, replies.as("unmap7"));
        m.requests.map(8, 0, 0xfff, RAM, READ, replies.as("map8"));
        m.requests.attach(1, 9, false, replies.as("move1"));

        assertThat(replies.all()).containsExactly("map8=OK");
        assertThat(take()).containsExactly("a+0..fff>100000/1", "b+0..fff>100000/1");
        a.owed.remove().ok();
        assertThat(replies.all()).containsExactly("map8=OK", "map7=OK");
        assertThat(take()).containsExactly("a-0..fff");
        a.owed.remove().ok();
        assertThat(replies.all()).containsExactly("map8=OK", "map7=OK", "unmap7=OK");
        assertThat(take()).containsExactly("aMAPPED");
        a.owed.remove().ok();
        assertThat(replies.all()).containsExactly("map8=OK", "map7=OK", "unmap7=OK", "move1=OK");
        assertThat(one.domainId()).isEqualTo(9);
    }

    @Test
    void whatWaitsIsNotOvertakenByWhatComesLater() {
        listen();
        m.attach(1, 7);
        a.isLate = true;
        m.requests.map(7, 0, 0xfff, RAM, READ, replies.as("map"));
        m.requests.attach(1, 9, false, replies.as("attach9"));

        m.requests.map(9, 0, 0xfff, RAM, READ, replies.as("map9"));
        m.requests.unmap(9, 0, 0xfff, replies.as("unmap9"));
        m.requests.detach(1, 9, replies.as("detach"));
        m.requests.attach(2, 8, false, replies.as("other"));

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
        m.requests.map(7, 0, 0xfff, RAM, READ, replies.as("map"));
        m.requests.map(7, 0, 0x1fff, RAM, READ, replies.as("next"));

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
        take();
        a.isLate = true;
        m.requests.map(7, 0, 0xfff, RAM, READ, replies.as("map"));
        m.requests.unmap(7, 0, 0xfff, replies.as("unmap"));
        a.isLate = false;

        m.reset();

        assertThat(take()).containsExactlyInAnyOrder("a+0..fff>100000/1", "aBLOCKED", "bBLOCKED");
        a.owed.remove().ok();
        assertThat(replies.all()).isEmpty();
        assertThat(m.attach(1, 7)).isEqualTo(Status.OK);
        assertThat(m.map(7, 0, 0xfff, RAM, READ)).isEqualTo(Status.OK);
        assertThat(m.iommu.mappingCount()).isEqualTo(1);
    }

    @Test
    void resetIsDoneWhenEveryListenerHasAnsweredAndNothingIsAttachedBefore() {
        both();
        m.map(7, 0, 0xfff, RAM, READ);
        a.isLate = true;
        b.isLate = true;
        List<String> told = new ArrayList<>();
        m.requests.forget();

        m.iommu.reset(() -> told.add("done"));

        m.requests.attach(1, 7, false, replies.as("attach"));
        b.owed.remove().ok();
        assertThat(told).isEmpty();
        assertThat(replies.all()).isEmpty();
        assertThat(m.read(m.dma(one), 0)).isEqualTo(Outcome.FAULT);
        DomainListener.Answer last = a.owed.remove();
        a.isLate = false;
        last.ok();
        assertThat(told).containsExactly("done");
        assertThat(replies.all()).containsExactly("attach=OK");
    }

    @Test
    void answersThatBreakTheRulesAreLoud() {
        listen();
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        a.isLate = true;
        m.requests.unmap(7, 0, 0xfff, replies.as("unmap"));
        DomainListener.Answer answer = a.owed.remove();

        assertThatThrownBy(() -> answer.refused(Status.NOMEM))
                .isInstanceOf(IllegalStateException.class);
        answer.ok();
        assertThat(replies.all()).containsExactly("unmap=OK");
    }

    @Test
    void aListenerThatHasLostWhatItHadIsDetached() {
        listen();
        m.attach(2, 8);
        m.map(8, 0x2000, 0x2fff, RAM, READ);
        m.attach(1, 7);
        m.map(7, 0x9000, 0x9fff, RAM, READ);
        a.refuses.add(0x2000L);
        a.isFragile = true;
        take();

        assertThat(m.attach(1, 8)).isEqualTo(Status.DEVERR);

        assertThat(take()).containsExactly("aMAPPED +2000..2fff>100000/1", "aBLOCKED");
        assertThat(m.iommu.endpoint(1)).matches(endpoint -> !endpoint.isAttached());
        assertThat(m.iommu.domainCount()).isEqualTo(1);
    }

    @Test
    void aSecondAnswerDoesNotCountForTheNextCall() {
        listen();
        m.attach(1, 7);
        a.isLate = true;
        m.requests.map(7, 0, 0xfff, RAM, READ, replies.as("first"));
        DomainListener.Answer answer = a.owed.remove();
        answer.ok();
        m.requests.map(7, 0x1000, 0x1fff, RAM, READ, replies.as("second"));

        assertThatThrownBy(answer::ok).isInstanceOf(IllegalStateException.class);
        assertThat(replies.all()).containsExactly("first=OK");
        a.owed.remove().ok();
        assertThat(replies.all()).containsExactly("first=OK", "second=OK");
    }
}

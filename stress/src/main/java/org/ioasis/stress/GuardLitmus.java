// SPDX-License-Identifier: Apache-2.0
package org.ioasis.stress;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.PinnedLease;
import org.ioasis.memory.Quiescence;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressMeta;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.ZZ_Result;

/**
 * The handshake of {@link Guards#await}, on one field that stands for all that can be taken away: a
 * reader that found the old state is inside its section when the change is answered. What may not
 * happen needs a store of each side to be overtaken by its own later load, so it is seen as soon as
 * one of the two fences is missing, on processors with strong order too.
 */
@Outcome(
        id = "true, true",
        expect = Expect.FORBIDDEN,
        desc = "answered, and a section that found the old state is open")
@Outcome(expect = Expect.ACCEPTABLE, desc = "not found, or over before the answer")
public abstract class GuardLitmus {
    private static final VarHandle STATE;
    private static final VarHandle ANSWERED;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            STATE = lookup.findVarHandle(GuardLitmus.class, "state", boolean.class);
            ANSWERED = lookup.findVarHandle(GuardLitmus.class, "answered", boolean.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    final Guards guards = new Guards(() -> 0, lease -> {});
    final Guard guard = guards.open();

    @SuppressWarnings("unused") // by the handles
    private boolean state = true;

    @SuppressWarnings("unused")
    private boolean answered;

    boolean isThere() {
        return (boolean) STATE.getAcquire(this);
    }

    void takeAway() {
        STATE.setRelease(this, false);
    }

    boolean isAnswered() {
        return (boolean) ANSWERED.getAcquire(this);
    }

    void section(ZZ_Result result) {
        guard.enter();
        result.r1 = isThere();
        result.r2 = isAnswered();
        guard.leave();
    }

    final class Change extends Quiescence {
        @Override
        protected boolean isHeldBy(PinnedLease lease) {
            return false;
        }

        @Override
        protected void quiescent() {
            ANSWERED.setRelease(GuardLitmus.this, true);
        }
    }

    /** The reader never leaves: then what it has found is never answered for. */
    @JCStressTest
    @JCStressMeta(GuardLitmus.class)
    @State
    public static class Answer extends GuardLitmus {
        @Actor
        public void reader(ZZ_Result result) {
            guard.enter();
            result.r1 = isThere();
        }

        @Actor
        public void mapper(ZZ_Result result) {
            takeAway();
            guards.await(new Change());
            result.r2 = isAnswered();
        }
    }

    /** The reader leaves, and the answer comes late, from {@link Guards#poll}. */
    @JCStressTest
    @JCStressMeta(GuardLitmus.class)
    @State
    public static class LateAnswer extends GuardLitmus {
        @Actor
        public void reader(ZZ_Result result) {
            section(result);
        }

        @Actor
        public void mapper() {
            takeAway();
            guards.await(new Change());
            while (guards.hasPending()) {
                guards.poll();
            }
        }
    }

    /** As a reset waits: {@link Guards#awaitNow}. */
    @JCStressTest
    @JCStressMeta(GuardLitmus.class)
    @State
    public static class Reset extends GuardLitmus {
        @Actor
        public void reader(ZZ_Result result) {
            section(result);
        }

        @Actor
        public void mapper() {
            takeAway();
            guards.awaitNow(new Change());
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package org.ioasis.stress;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.MemorySegment;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.ioasis.memory.WriteLog;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressMeta;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.ZZ_Result;

/**
 * A write beside the question for written pages, as a VMM asks that moves a VM: it copies what it
 * is told of, and asks again. A write is in the copy, or the second question tells of it.
 */
@Outcome(
        id = "false, false",
        expect = Expect.FORBIDDEN,
        desc = "the copy is from before the write, and nothing tells of it any more")
@Outcome(expect = Expect.ACCEPTABLE, desc = "copied, or told")
public abstract class WriteLogLitmus {
    private static final int PAGE = 4096;

    // On the heap: many of these are made.
    private final MemorySegment ram = MemorySegment.ofArray(new long[PAGE / Long.BYTES]);
    private final Guards guards = new Guards(() -> 0, lease -> {});
    private final GuestMemory memory = new GuestMemory(guards, 1);
    private final DirectDma dma = new DirectDma(memory, guards.open());
    private final WriteLog log;
    private boolean isOver;

    WriteLogLitmus() {
        memory.add(new Region(0, PAGE - 1, ram, true, null));
        log = new WriteLog(memory, PAGE);
    }

    final void start() {
        log.start(() -> isOver = true);
        awaitOver();
    }

    final void write(int value) {
        dma.enter();
        dma.writeInt(0, value);
        dma.leave();
    }

    final boolean isTold() {
        long[] bitmap = new long[1];
        log.report(0, PAGE - 1, PAGE, bitmap, () -> isOver = true);
        awaitOver();
        return bitmap[0] != 0;
    }

    private void awaitOver() {
        while (!isOver) {
            guards.poll();
        }
        isOver = false;
    }

    final boolean isCopied() {
        return ram.get(JAVA_INT, 0) == 2;
    }

    /** The page is noted already when it is written once more. */
    @JCStressTest
    @JCStressMeta(WriteLogLitmus.class)
    @State
    public static class WrittenAgain extends WriteLogLitmus {
        public WrittenAgain() {
            start();
            write(1);
        }

        @Actor
        public void device() {
            write(2);
        }

        @Actor
        public void mover(ZZ_Result result) {
            result.r1 = isTold() && isCopied();
        }

        @Arbiter
        public void later(ZZ_Result result) {
            result.r2 = isTold();
        }
    }

    /** The first write. */
    @JCStressTest
    @JCStressMeta(WriteLogLitmus.class)
    @State
    public static class Written extends WriteLogLitmus {
        public Written() {
            start();
        }

        @Actor
        public void device() {
            write(2);
        }

        @Actor
        public void mover(ZZ_Result result) {
            result.r1 = isTold() && isCopied();
        }

        @Arbiter
        public void later(ZZ_Result result) {
            result.r2 = isTold();
        }
    }

    /** The beginning: all is copied when the log has started. */
    @JCStressTest
    @JCStressMeta(WriteLogLitmus.class)
    @State
    public static class Start extends WriteLogLitmus {
        @Actor
        public void device() {
            write(2);
        }

        @Actor
        public void mover(ZZ_Result result) {
            start();
            result.r1 = isCopied();
        }

        @Arbiter
        public void later(ZZ_Result result) {
            result.r2 = isTold();
        }
    }
}

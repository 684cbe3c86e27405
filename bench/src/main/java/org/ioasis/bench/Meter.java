// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/**
 * What one repetition cost: CPU time and garbage of the measuring thread, between {@link #begin}
 * and {@link #end} only. CPU time, because on a shared machine waiting for the processor says
 * nothing about the code; the peers measure the same.
 */
@State(Scope.Thread)
@AuxCounters(AuxCounters.Type.EVENTS)
public class Meter {
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    /** CPU time in nanoseconds. */
    public long nanos;

    /** Bytes of garbage. */
    public long allocated;

    public long operations;

    private long bytesBefore;
    private long nanosBefore;

    @Setup(Level.Iteration)
    public void clear() {
        nanos = 0;
        allocated = 0;
        operations = 0;
    }

    void begin() {
        bytesBefore = THREADS.getCurrentThreadAllocatedBytes();
        nanosBefore = THREADS.getCurrentThreadCpuTime();
    }

    void end(long done) {
        nanos += THREADS.getCurrentThreadCpuTime() - nanosBefore;
        allocated += THREADS.getCurrentThreadAllocatedBytes() - bytesBefore;
        operations += done;
    }
}

// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.ioasis.spec.Pci;
import org.jspecify.annotations.Nullable;

/**
 * A PCI function as whoever stands for its bus sees it: configuration space, BARs, vectors, reset.
 * Lives as long as the machine; sessions with a VMM come and go on it. Loop thread only.
 *
 * <p>Offsets and sizes are checked by the caller: accesses lie within the {@link #configSize} bytes
 * of configuration space or within {@link #barSize}. What the function does not support reads as 0
 * and ignores writes; nothing here throws because of what a guest does.
 */
public interface PciFunction {
    /** Bytes of configuration space: 256, or 4096 of a function of PCI Express. */
    default int configSize() {
        return Pci.CONFIG_SPACE_SIZE;
    }

    /** Reads {@code size} (1, 2 or 4) naturally aligned bytes, zero-extended. */
    int configRead(int offset, int size);

    void configWrite(int offset, int size, int value);

    /** Bytes of BAR {@code bar} (0..5); 0 if there is none. */
    long barSize(int bar);

    /** Reads {@code size} (1, 2, 4 or 8) bytes, zero-extended. */
    long barRead(int bar, long offset, int size);

    void barWrite(int bar, long offset, int size, long value);

    /**
     * Whether a BAR is memory and nothing else, a whole number of pages: reading and writing it has
     * no other consequence, so that whoever serves the function may let it be mapped.
     */
    default boolean isBarMemory(int bar) {
        return false;
    }

    /**
     * Where the bytes of such a BAR stand from now on; they go on from what they were. Null: where
     * the function has them itself, as at the beginning.
     *
     * @param bytes as many as the BAR has; whoever maps them changes them at any time
     */
    default void barMemory(int bar, @Nullable MemorySegment bytes) {}

    /** What it has done, by the name of what is counted, in the order for people. Any thread. */
    default Map<String, Long> counters() {
        return Map.of();
    }

    /** Entries of the MSI-X table. */
    int vectorCount();

    /** What an operator should know of the function goes to {@code sink}, a line each. */
    default void reports(Consumer<String> sink) {}

    /** Vectors go to {@code sink} from now on. */
    void vectors(VectorSink sink);

    /** A vector has been set up: what waits for it is sent. */
    void vectorsChanged();

    /**
     * Asked at each kick of the guest's: true if whoever answers looks at the rings from now on, by
     * {@link #look}, until {@link #rest}. A function without rings never asks.
     */
    default void watcher(BooleanSupplier watcher) {}

    /**
     * Looks for work in the rings that are looked at, and does it. True if there was some. Has no
     * other consequence.
     */
    default boolean look() {
        return false;
    }

    /**
     * Nobody looks any more: the guest kicks again, and what has come before that is done. True if
     * there was something.
     */
    default boolean rest() {
        return false;
    }

    /**
     * Who is told of what shows in which state the whole machine is. A function that tells nothing
     * is known by others.
     *
     * @param whenGuestActs runs before a register is read, for which a processor of the guest waits
     * @param whenReset runs when the VMM resets the function
     */
    default void signs(Runnable whenGuestActs, Runnable whenReset) {}

    /** Back to the state of power-on. */
    void reset();

    /**
     * Runs {@code task}, perhaps at once, when {@link #reset} and the writes before have all of
     * their effect: no DMA goes by what held before, not even that of devices elsewhere.
     */
    default void whenSettled(Runnable task) {
        task.run();
    }

    /** Memory has been added: what waited for absent memory is tried again. */
    void memoryChanged();

    /** True while it wants to be told the time: asked after whatever may have changed that. */
    default boolean needsTick() {
        return false;
    }

    /** Tells the time, a few times a second while that is wanted: bounds waits for memory. */
    default void tick(long nowNanos) {}
}

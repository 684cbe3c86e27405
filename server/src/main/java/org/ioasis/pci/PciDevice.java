// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.ioasis.peer.ServedDevice;
import org.jspecify.annotations.Nullable;

/**
 * A PCI device as a protocol serves it, wherever its registers are: here, as those of a {@link
 * PciFunction}, or in another process. Lives as long as the machine; sessions with a VMM come and
 * go on it. Loop thread only.
 */
public interface PciDevice extends ServedDevice.Turns {
    /** Its registers, for one session. */
    Regions regions();

    /** Whether its driver lets it touch memory (COMMAND.MASTER). */
    boolean isMaster();

    /** Entries of the MSI-X table. */
    int vectorCount();

    /**
     * Whether the memory that a VMM shares is passed on to another process: its descriptors are
     * kept then, and come with its regions.
     */
    default boolean passesMemoryOn() {
        return false;
    }

    /** What an operator should know of the function goes to {@code sink}, a line each. */
    default void reports(Consumer<String> sink) {}

    /** Vectors go to {@code sink} from now on. */
    void vectors(VectorSink sink);

    /**
     * Whether it has an interrupt pin (INTx). What it raises there is masked until it is told
     * otherwise.
     */
    default boolean hasPin() {
        return false;
    }

    /** What is raised at the pin goes to vector 0 of {@code sink} from now on. */
    default void pin(VectorSink sink) {}

    /** The pin has been set up or taken away. */
    default void pinChanged() {}

    /** What is raised at the pin waits from now on, or does not. */
    default void pinMasked(boolean isMasked) {}

    /** How it moves with its VM; null: it cannot. Always the same. */
    default @Nullable Migration migration() {
        return null;
    }

    /** Writes that may come as signals instead. Always the same. */
    default List<Doorbell> doorbells() {
        return List.of();
    }

    /**
     * One of them has come so.
     *
     * @param doorbell its number among {@link #doorbells}
     */
    default void rung(int doorbell) {}

    /** Vectors of MSI, which it has instead of those of MSI-X or beside them. */
    default int messageCount() {
        return 0;
    }

    /** Vectors of MSI go to {@code sink} from now on. Before {@link #vectors} of a session. */
    default void messages(VectorSink sink) {}

    /** Vectors of MSI have been set up or taken away. */
    default void messagesChanged() {}

    /** Vectors have been set up or taken away: what waits for one that is set up is sent. */
    void vectorsChanged();

    @Override
    default void watcher(BooleanSupplier watcher) {}

    @Override
    default boolean look() {
        return false;
    }

    @Override
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
     * Runs {@code task}, perhaps at once, when {@link #reset}, {@link #vectorsChanged} and the
     * writes before have all of their effect: no DMA goes by what held before, not even that of
     * devices elsewhere.
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

    @Override
    default void tick(long nowNanos) {}
}

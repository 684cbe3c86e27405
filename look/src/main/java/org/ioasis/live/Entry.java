// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import java.time.Instant;
import java.util.function.Consumer;
import java.util.function.LongConsumer;
import java.util.function.LongSupplier;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.virtio.iommu.IommuObserver;
import org.ioasis.virtio.iommu.IommuRequest;
import org.jspecify.annotations.Nullable;

/** What happens at an IOMMU, or to a trace of it. Immutable. */
public sealed interface Entry {
    /** The first of each file, by which it is known as a trace. */
    record Begun() implements Entry {}

    /** The driver started the device. */
    record Started(long features) implements Entry {}

    /** The device was reset. */
    record Reset() implements Entry {}

    /** A request and its answer; no status if it was given back without one. */
    record Answered(IommuRequest request, @Nullable Status status, String why) implements Entry {}

    /** A request whose answer comes later. */
    record Waits(IommuRequest request) implements Entry {}

    /** An access was refused; {@code cause} is empty if nothing is known of it. */
    record Refused(Fault fault, String cause) implements Entry {}

    /** So many refused accesses came faster than they are kept. */
    record FaultsLeftOut(long count) implements Entry {}

    /** The driver was told of a fault. */
    record Delivered(Fault fault) implements Entry {}

    /** A failure was planted, or a planted one has happened. */
    record Injected(String what) implements Entry {}

    /** Entries that found the queue full. */
    record Lost(long count) implements Entry {}

    /** The file is as large as it may be. */
    record Full(long limit) implements Entry {}

    /** Entries after that. */
    record LeftOut(long count) implements Entry {}

    /**
     * An entry in its place.
     *
     * @param who the IOMMU, {@code machine/iommu}
     */
    record Timed(Instant time, String who, Entry entry) {}

    /** An observer that hands on what it sees, on the thread that it is called on. */
    static IommuObserver observer(Consumer<Entry> told) {
        return observer(told, () -> 0, _ -> {});
    }

    /**
     * The same, which also tells how long each request took from its ring to its answer.
     *
     * @param clock in nanoseconds
     */
    static IommuObserver observer(Consumer<Entry> told, LongSupplier clock, LongConsumer took) {
        return new IommuObserver() {
            @Override
            public long taken() {
                return clock.getAsLong();
            }

            @Override
            public void answeredSince(long taken) {
                if (taken != 0) {
                    took.accept(clock.getAsLong() - taken);
                }
            }

            @Override
            public void started(long features) {
                told.accept(new Started(features));
            }

            @Override
            public void reset() {
                told.accept(new Reset());
            }

            @Override
            public void answered(IommuRequest request, @Nullable Status status, String why) {
                told.accept(new Answered(request, status, why));
            }

            @Override
            public void waits(IommuRequest request) {
                told.accept(new Waits(request));
            }

            @Override
            public void refusedAccess(Fault fault) {
                told.accept(new Refused(fault, ""));
            }

            @Override
            public void delivered(Fault fault) {
                told.accept(new Delivered(fault));
            }

            @Override
            public void injected(String what) {
                told.accept(new Injected(what));
            }
        };
    }
}

// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.engine;

import java.lang.foreign.MemorySegment;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.ioasis.iommu.Completion;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MappingStore;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.HeldMemory;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.jspecify.annotations.Nullable;

/**
 * An IOMMU whose devices are objects of this process: what they access through their {@link Dma}
 * are the pages that contexts of the node hold, as far as the address space says that they are
 * attached to. It lives as long as its node.
 *
 * <p>All contexts of the node are used on one thread, which owns the guards if one does, and never
 * inside a guarded section; devices run on any. What the engine answers late, because an access
 * under the old state is still running, is waited for: such accesses last microseconds.
 */
public final class EngineIommu {
    private final IommuOptions options;
    private final Guards guards;
    private final Iommu iommu;
    private final GuestMemory memory;
    private int domains;

    /**
     * @param options its granule is a page or less; what is attached to nothing reaches nothing,
     *     whatever they say of bypass
     * @param faults where refused accesses go
     * @param stores makes the mapping store of a domain
     */
    public EngineIommu(
            IommufdNode node,
            IommuOptions options,
            Guards guards,
            FaultQueue faults,
            Supplier<MappingStore> stores) {
        this.options = options.toBuilder().bypassAtStart(false).build();
        this.guards = guards;
        iommu = new Iommu(this.options, guards, faults, stores);
        memory = new GuestMemory(guards, GuestMemory.REGION_LIMIT);
        node.listen(new Backing());
    }

    /**
     * Adds a device.
     *
     * @param id what faults call it
     * @throws IllegalArgumentException the id is taken, or too many are there; or the device asks
     *     for what no address space of a program has: other page sizes, identity regions
     */
    public EngineDevice plug(int id, EndpointProperties properties) {
        long granule = Long.lowestOneBit(options.pageSizeMask());
        if (properties.pageSizeMask() != 0 && (properties.pageSizeMask() & granule) == 0) {
            throw new IllegalArgumentException(
                    "device 0x%x has no pages of %d bytes".formatted(id, granule));
        }
        for (ReservedRegion region : properties.reserved().regions()) {
            if (region.kind() == ReservedRegion.Kind.IDENTITY) {
                throw new IllegalArgumentException(
                        "device 0x%x reaches 0x%x as it is, past every address space"
                                .formatted(id, region.first()));
            }
        }
        return new EngineDevice(this, iommu.plug(id, properties));
    }

    IommuOptions options() {
        return options;
    }

    Iommu iommu() {
        return iommu;
    }

    GuestMemory memory() {
        return memory;
    }

    EngineDomain domain() throws IommufdException {
        if (iommu.domainCount() == options.domainLimit()) {
            throw new IommufdException(Errno.ENOMEM, "the IOMMU has as many domains as it may");
        }
        return new EngineDomain(this, iommu.pagingDomain(++domains));
    }

    /**
     * Makes a request and waits for its answer.
     *
     * @return why it was refused, or null
     */
    @Nullable Refusal ask(Consumer<Completion> request) {
        Answer answer = new Answer();
        request.accept(answer);
        while (!answer.isThere) {
            Thread.onSpinWait();
            guards.poll();
        }
        return answer.refusal;
    }

    static IommufdException refused(Refusal refusal) {
        return refusal.status() == Status.NOMEM
                ? new IommufdException(Errno.ENOMEM, "a limit of the IOMMU is reached: " + refusal)
                : new IommufdException(
                        Errno.EINVAL, "the device and the address space do not fit: " + refusal);
    }

    private static final class Answer implements Completion {
        private boolean isThere;
        private @Nullable Refusal refusal;

        @Override
        public void complete(Status status) {
            isThere = true;
        }

        @Override
        public void refused(Refusal why) {
            refusal = why;
            isThere = true;
        }
    }

    /** What lies behind output addresses. */
    private final class Backing implements HeldMemory {
        @Override
        public boolean added(long address, long length, @Nullable MemorySegment bytes) {
            Region region =
                    new Region(
                            address,
                            address + length - 1,
                            bytes,
                            bytes == null || !bytes.isReadOnly(),
                            null);
            return memory.add(region) == GuestMemory.Change.DONE;
        }

        @Override
        public void removed(long address, long length) {
            // Out of every domain before its pages were given back: nothing can be in it.
            GuestMemory.Change change = memory.remove(address, address + length - 1, () -> {});
            if (change != GuestMemory.Change.DONE) {
                throw new IllegalStateException("memory at 0x%x: %s".formatted(address, change));
            }
        }
    }
}

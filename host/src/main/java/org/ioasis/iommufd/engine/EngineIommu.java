// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.engine;

import static org.ioasis.spec.IommufdNesting.INVALIDATE_VIRTIO;

import java.lang.foreign.MemorySegment;
import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;
import java.util.NavigableMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import org.ioasis.iommu.Completion;
import org.ioasis.iommu.Domain;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.iotlb.CachedTranslations;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.iotlb.WalkedTranslation;
import org.ioasis.iommu.mapping.MappingStore;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.TableAccess;
import org.ioasis.iommufd.DeviceCaches;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.HeldMemory;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.memory.Count;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.PinnedLease;
import org.ioasis.memory.Quiescence;
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
    /** Translations through two stages that are kept. */
    private static final int CACHED = 4096;

    /** VMIDs and DomainIDs have 16 bits. */
    static final int TAGS = 1 << 16;

    private final IommuOptions options;
    private final Guards guards;
    private final Iommu iommu;
    private final GuestMemory memory;
    private final Iotlb cached = new Iotlb(CACHED);
    private final Past past = new Past();
    private final Guard guard;

    /** What lies behind addresses of held pages, by the first of each block. */
    private final NavigableMap<Long, MemorySegment> held = new ConcurrentSkipListMap<>();

    private final Architecture architecture;
    private int domains;
    private final Count tablesMade = new Count();
    private final Count tableAttachments = new Count();
    private final Count nativeEntries = new Count();
    private final Count virtioEntries = new Count();
    private final Map<Integer, EngineDevice> devices = new HashMap<>();
    private final BitSet tags = new BitSet();

    /** As the other, with nothing for guests. */
    public EngineIommu(
            IommufdNode node,
            IommuOptions options,
            Guards guards,
            FaultQueue faults,
            Supplier<MappingStore> stores) {
        this(node, options, guards, faults, stores, _ -> Architecture.PLAIN);
    }

    /**
     * @param options its granule is a page or less; what is attached to nothing reaches nothing,
     *     whatever they say of bypass
     * @param faults where refused accesses go
     * @param stores makes the mapping store of a domain
     * @param architecture what it is to programs
     */
    public EngineIommu(
            IommufdNode node,
            IommuOptions options,
            Guards guards,
            FaultQueue faults,
            Supplier<MappingStore> stores,
            Architecture.Maker architecture) {
        this.options = options.toBuilder().bypassAtStart(false).build();
        this.guards = guards;
        iommu = new Iommu(this.options, guards, faults, stores);
        memory = new GuestMemory(guards, GuestMemory.REGION_LIMIT);
        guard = guards.open();
        node.listen(new Backing());
        this.architecture = architecture.make(this);
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
        EngineDevice device = new EngineDevice(this, iommu.plug(id, properties));
        devices.put(id, device);
        return device;
    }

    /**
     * A guest hears of a refused access, if it is to. On the thread of the node's contexts, outside
     * of guarded sections: for each fault that is taken from the queue.
     */
    public void report(Fault fault) {
        EngineDevice device = devices.get(fault.endpoint());
        if (device != null) {
            architecture.faulted(device, fault);
        }
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

    Architecture architecture() {
        return architecture;
    }

    /** What it has kept of walks through tables of guests. */
    public CachedTranslations cached() {
        return cached;
    }

    /**
     * Takes away what is kept of a range in a space, or in each: {@link DeviceCaches#NO_SPACE}. The
     * range is inclusive and unsigned.
     */
    public void forget(int tag, int space, long first, long last) {
        if (space == DeviceCaches.NO_SPACE) {
            cached.everySpace(tag, first, last, 0);
        } else {
            cached.range(tag, space, first, last, 0);
        }
    }

    /**
     * A number for what is kept of one table or machine, until {@link EngineDomain#removeTag}.
     *
     * @throws IommufdException ENOSPC: there are as many as hardware can tell apart
     */
    public int newTag() throws IommufdException {
        int tag = tags.nextClearBit(1);
        if (tag == TAGS) {
            throw new IommufdException(Errno.ENOSPC, "no number for another guest's table is left");
        }
        tags.set(tag);
        return tag;
    }

    void giveBackTag(int tag) {
        cached.domain(tag);
        tags.clear(tag);
    }

    /**
     * Makes a domain that walks a guest's table in front of another domain.
     *
     * @param space its first stage, and the tags of what is kept of it
     * @throws IommufdException ENOMEM: there are as many domains as there may be
     */
    public Domain walked(AddressSpace space, EngineDomain parent) throws IommufdException {
        checkRoom();
        Domain made =
                iommu.domain(
                        ++domains,
                        WalkedTranslation.behind(
                                parent.engine().translation(), space, memory, cached));
        tablesMade.increment();
        return made;
    }

    /** The same of a domain that ends when nothing goes through it any more. */
    public Domain walkedWhileUsed(AddressSpace space, EngineDomain parent) throws IommufdException {
        Domain made = walked(space, parent);
        made.onUnused(Domain::close);
        return made;
    }

    /**
     * Looks at tables of a guest's, where a domain says that its machine's memory is.
     *
     * @param look what is done, in one guarded section
     */
    public <T> T look(EngineDomain parent, Function<TableAccess, T> look) {
        TablesBehind tables = new TablesBehind(parent.engine().translation(), memory);
        guard.enter();
        try {
            return look.apply(tables);
        } finally {
            guard.leave();
        }
    }

    /**
     * Memory of held pages that lie side by side.
     *
     * @return null: it is reached by calls only
     */
    public @Nullable MemorySegment bytes(long address, long length) {
        Map.Entry<Long, MemorySegment> block = held.floorEntry(address);
        if (block == null || address - block.getKey() + length > block.getValue().byteSize()) {
            return null;
        }
        return block.getValue().asSlice(address - block.getKey(), length);
    }

    /** What tables of guests have come to. Any thread. */
    public GuestTableCounts tableCounts() {
        return new GuestTableCounts(
                tablesMade.read(),
                tableAttachments.read(),
                nativeEntries.read(),
                virtioEntries.read(),
                cached.filled() + cached.unkept());
    }

    /** A device goes through a table of a guest's from now on. */
    void attachedToTable() {
        tableAttachments.increment();
    }

    /**
     * Entries of a guest's were carried out: what they took away is out of use when this returns.
     *
     * @param type INVALIDATE_ of {@link org.ioasis.spec.IommufdNesting}
     */
    public void invalidated(int type, int count) {
        (type == INVALIDATE_VIRTIO ? virtioEntries : nativeEntries).add(count);
        settle();
    }

    /**
     * Returns when no access runs any more that may use what was taken away before. Not inside a
     * guarded section.
     */
    public void settle() {
        long epoch = guards.nextEpoch();
        if (guards.isQuiet(epoch)) {
            return;
        }
        past.isOver = false;
        guards.await(past, epoch);
        while (!past.isOver) {
            Thread.onSpinWait();
            guards.poll();
        }
    }

    private static final class Past extends Quiescence {
        private boolean isOver;

        @Override
        protected boolean isHeldBy(PinnedLease lease) {
            // Which tables a lease went through nobody knows any more.
            return true;
        }

        @Override
        protected boolean takesBack() {
            return true;
        }

        @Override
        protected void quiescent() {
            isOver = true;
        }
    }

    private void checkRoom() throws IommufdException {
        if (iommu.domainCount() == options.domainLimit()) {
            throw new IommufdException(Errno.ENOMEM, "the IOMMU has as many domains as it may");
        }
    }

    EngineDomain domain() throws IommufdException {
        checkRoom();
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
            if (memory.add(region) != GuestMemory.Change.DONE) {
                return false;
            }
            if (bytes != null) {
                held.put(address, bytes);
            }
            return true;
        }

        @Override
        public void removed(long address, long length) {
            held.remove(address);
            // Out of every domain before its pages were given back: nothing can be in it.
            GuestMemory.Change change = memory.remove(address, address + length - 1, () -> {});
            if (change != GuestMemory.Change.DONE) {
                throw new IllegalStateException("memory at 0x%x: %s".formatted(address, change));
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import org.ioasis.iommu.iotlb.ContextTranslation;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.memory.GuestMemory;
import org.jspecify.annotations.Nullable;

/**
 * A domain whose addresses are looked up in a table that its driver owns and changes as it likes:
 * what it has changed counts once it has said so. Loop thread; translating threads walk.
 */
public final class TableDomain extends Domain {
    private static final long PAGE = 0x1000;

    private final Iotlb cached;
    private final HandedTable table;
    private final int tag;
    private boolean isListenedTo;

    /**
     * @param tag what is kept of the table is known by, no other table's
     * @param memory where the table lies
     */
    TableDomain(Iommu iommu, int id, int tag, HandedTable table, GuestMemory memory, Iotlb cached) {
        super(iommu, id, table.translation(tag, memory, cached));
        this.tag = tag;
        this.table = table;
        this.cached = cached;
    }

    @Override
    public boolean hasContexts() {
        return table.hasContexts();
    }

    /** Of each attachment the same. */
    public HandedTable table() {
        return table;
    }

    @Override
    @SuppressWarnings("ReferenceEquality")
    public @Nullable Refusal check(Attachment attachment) {
        DomainListener listener = attachment.endpoint().attachment().listener();
        // A PASID of an endpoint that somebody listens for would be nobody's; and who listens knows
        // one kind of tables.
        return fits(attachment.endpoint())
                        && attachment.listener() == listener
                        && (listener == null || table instanceof VtdTable)
                ? null
                : Refusal.NO_TABLES;
    }

    /**
     * False for an endpoint that would lose something by a table of its driver's: what it cannot
     * put on the bus, or must reach whatever is mapped, is not in the table; and a listener that
     * keeps copies of mappings would have an empty one.
     */
    public static boolean fits(Endpoint endpoint) {
        EndpointProperties properties = endpoint.properties();
        IommuOptions options = endpoint.iommu().options();
        long pages = properties.pageSizeMask();
        DomainListener listener = endpoint.attachment().listener();
        return (listener == null || listener instanceof TableListener)
                && (pages == 0 || (pages & PAGE) != 0)
                && isWhole(properties.inputFirst(), properties.inputLast())
                && isWhole(options.inputFirst(), options.inputLast())
                && properties.reserved().regions().stream()
                        .noneMatch(one -> one.kind() == ReservedRegion.Kind.IDENTITY);
    }

    /** Of one that fits: whether its accesses go through the engine. */
    public static boolean isWalkedHere(Endpoint endpoint) {
        return endpoint.attachment().listener() == null;
    }

    private static boolean isWhole(long first, long last) {
        return first == 0 && last == -1L;
    }

    /**
     * The driver has changed what leads from {@code first..last}. When it is answered nothing is
     * translated as it was before the call, and no access that was is running.
     */
    public void invalidate(long first, long last, Completion completion) {
        assert iommu.isOwnThread();
        requireIdle();
        cached.everySpace(tag, first, last, 0);
        tell(first, last, completion);
    }

    /** The same of all addresses. */
    public void invalidate(Completion completion) {
        assert iommu.isOwnThread();
        requireIdle();
        cached.domain(tag);
        tell(0, -1L, completion);
    }

    /**
     * The same of a range in one of its spaces, and of what is global there.
     *
     * @param space an ASID
     */
    public void invalidate(int space, long first, long last, Completion completion) {
        assert iommu.isOwnThread();
        requireIdle();
        cached.range(tag, space, first, last, 0);
        tell(first, last, completion);
    }

    /** The same of all addresses of a space; what is global stays. */
    public void invalidateSpace(int space, Completion completion) {
        assert iommu.isOwnThread();
        requireIdle();
        cached.space(tag, space);
        tell(0, -1L, completion);
    }

    /**
     * The driver has changed what stands for its PASIDs. To be followed by one of the others, whose
     * answer is the answer to both.
     */
    public void renewContexts() {
        assert iommu.isOwnThread();
        if (translation() instanceof ContextTranslation contexts) {
            contexts.renew();
        }
    }

    /** Who walks the table for a device elsewhere forgets as well, before it is answered. */
    private void tell(long first, long last, Completion completion) {
        if (!isListenedTo) {
            iommu.unmaps().add(this, first, last, completion);
            return;
        }
        ListenerRound round = iommu.round(this, null, null);
        for (Attachment attachment : attachments()) {
            if (attachment.listener() instanceof TableListener listener) {
                listener.begin();
                listener.invalidated(first, last);
                round.commit(listener, null, false);
            }
        }
        round.finish(_ -> iommu.unmaps().add(this, first, last, completion));
    }

    @Override
    void renew() {
        isListenedTo = attachments().stream().anyMatch(one -> one.listener() != null);
    }

    @Override
    void replay(DomainListener listener) {
        super.replay(listener);
        if (listener instanceof TableListener walks && table instanceof VtdTable known) {
            walks.table(known);
        }
    }

    @Override
    void release() {
        cached.domain(tag);
    }
}

// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.iotlb.WalkedTranslation;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.memory.GuestMemory;
import org.jspecify.annotations.Nullable;

/**
 * A domain whose addresses are looked up in a table that its driver owns and changes as it likes:
 * what it has changed counts once it has said so. Loop thread; translating threads walk.
 */
public final class TableDomain extends Domain {
    private static final long PAGE = 0x1000;

    private final Iotlb cached;
    private final Record table;
    private final int tag;

    /**
     * @param tag what is kept of the table is known by, no other table's
     * @param table what the driver has said of it
     * @param memory where the table lies
     */
    TableDomain(
            Iommu iommu,
            int id,
            int tag,
            Record table,
            Stage stage,
            GuestMemory memory,
            Iotlb cached) {
        super(
                iommu,
                id,
                WalkedTranslation.of(
                        new AddressSpace(stage, null, tag, 0, Rights.ALL), memory, cached));
        this.tag = tag;
        this.table = table;
        this.cached = cached;
    }

    /** What the driver has said of the table: of each attachment the same. */
    public Record table() {
        return table;
    }

    @Override
    public @Nullable Refusal check(Attachment attachment) {
        return fits(attachment.endpoint()) && attachment.listener() == null
                ? null
                : Refusal.NO_TABLES;
    }

    /**
     * False for an endpoint that would lose something by a table of its driver's: what it cannot
     * put on the bus, or must reach whatever is mapped, is not in the table; and a copy of mappings
     * that a listener keeps would be empty.
     */
    public static boolean fits(Endpoint endpoint) {
        EndpointProperties properties = endpoint.properties();
        IommuOptions options = endpoint.iommu().options();
        long pages = properties.pageSizeMask();
        return endpoint.attachment().listener() == null
                && (pages == 0 || (pages & PAGE) != 0)
                && isWhole(properties.inputFirst(), properties.inputLast())
                && isWhole(options.inputFirst(), options.inputLast())
                && properties.reserved().regions().stream()
                        .noneMatch(one -> one.kind() == ReservedRegion.Kind.IDENTITY);
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
        iommu.unmaps().add(this, first, last, completion);
    }

    /** The same of all addresses. */
    public void invalidate(Completion completion) {
        assert iommu.isOwnThread();
        requireIdle();
        cached.domain(tag);
        iommu.unmaps().add(this, 0, -1L, completion);
    }

    @Override
    void release() {
        cached.domain(tag);
    }
}

// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import org.ioasis.memory.Ranges;

/**
 * How one IOMMU is built. Immutable.
 *
 * @param pageSizeMask page sizes; the lowest bit is the granule. One bit makes Linux send one MAP
 *     per contiguous run.
 * @param inputFirst first IOVA that can be mapped
 * @param inputLast last one, inclusive
 * @param domainFirst lowest domain id, 32-bit unsigned
 * @param domainLast highest domain id, inclusive, 32-bit unsigned
 * @param bypassAtStart what unattached endpoints may do after a system reset: firmware reads the
 *     disk before a driver of the IOMMU exists
 * @param detachByEndpoint a DETACH names the endpoint only: Linux detaches identity domains with
 *     domain id 0
 * @param identityBesideNone an endpoint may share a domain with one that has an identity region
 *     which it lacks
 * @param endpointLimit most endpoints
 * @param domainLimit most domains at a time
 * @param mappingLimit most mappings at a time, over all domains
 * @param tableLimit most bytes of mapping tables at a time, over all domains
 * @param endpointMappingLimit most mappings that one endpoint can cause: a domain holds as many for
 *     each endpoint that is attached to it
 * @param endpointTableLimit most bytes of mapping tables, likewise
 */
public record IommuOptions(
        long pageSizeMask,
        long inputFirst,
        long inputLast,
        int domainFirst,
        int domainLast,
        boolean bypassAtStart,
        boolean detachByEndpoint,
        boolean identityBesideNone,
        int endpointLimit,
        int domainLimit,
        long mappingLimit,
        long tableLimit,
        long endpointMappingLimit,
        long endpointTableLimit) {

    /**
     * Bytes of tables if nothing else is said: a guest that maps one page in every 2 MiB gets
     * 65,000 mappings for it, a guest that does not more than the limit of mappings allows.
     */
    public static final long TABLE_LIMIT = 256L << 20;

    /** 16 tables: what one mapping of a few pages may need under the tallest tree, and its kin. */
    private static final long TABLE_LIMIT_MIN = 1 << 16;

    /**
     * 4 KiB granule, 64-bit addresses, boot bypass, and limits that a large guest stays well below.
     */
    public static final IommuOptions DEFAULT =
            new IommuOptions(0x1000, 0, -1L, 0, -1, true, true, false, 1 << 16, 1 << 12, 1L << 20);

    public IommuOptions {
        if (pageSizeMask == 0) {
            throw new IllegalArgumentException("page_size_mask needs at least one bit");
        }
        if (Ranges.isBelow(inputLast, inputFirst)) {
            throw new IllegalArgumentException(
                    "input range ends before it starts: 0x%x..0x%x"
                            .formatted(inputFirst, inputLast));
        }
        if (Integer.compareUnsigned(domainLast, domainFirst) < 0) {
            throw new IllegalArgumentException(
                    "domain range ends before it starts: 0x%x..0x%x"
                            .formatted(domainFirst, domainLast));
        }
        if (endpointLimit < 1 || domainLimit < 1 || mappingLimit < 1 || endpointMappingLimit < 1) {
            throw new IllegalArgumentException("limits must be at least 1");
        }
        if (tableLimit < TABLE_LIMIT_MIN || endpointTableLimit < TABLE_LIMIT_MIN) {
            throw new IllegalArgumentException(
                    "limits of bytes of tables must be at least %d, not %d and %d"
                            .formatted(TABLE_LIMIT_MIN, tableLimit, endpointTableLimit));
        }
    }

    /** With the usual bytes of tables, and no limits of a single endpoint but the common ones. */
    public IommuOptions(
            long pageSizeMask,
            long inputFirst,
            long inputLast,
            int domainFirst,
            int domainLast,
            boolean bypassAtStart,
            boolean detachByEndpoint,
            boolean identityBesideNone,
            int endpointLimit,
            int domainLimit,
            long mappingLimit) {
        this(
                pageSizeMask,
                inputFirst,
                inputLast,
                domainFirst,
                domainLast,
                bypassAtStart,
                detachByEndpoint,
                identityBesideNone,
                endpointLimit,
                domainLimit,
                mappingLimit,
                TABLE_LIMIT,
                mappingLimit,
                TABLE_LIMIT);
    }

    /** The same with another {@code bypass} at the start. */
    public IommuOptions withBypassAtStart(boolean value) {
        return new IommuOptions(
                pageSizeMask,
                inputFirst,
                inputLast,
                domainFirst,
                domainLast,
                value,
                detachByEndpoint,
                identityBesideNone,
                endpointLimit,
                domainLimit,
                mappingLimit,
                tableLimit,
                endpointMappingLimit,
                endpointTableLimit);
    }

    /** The same with other limits of tables, and other limits of a single endpoint. */
    public IommuOptions withLimits(long tables, long endpointMappings, long endpointTables) {
        return new IommuOptions(
                pageSizeMask,
                inputFirst,
                inputLast,
                domainFirst,
                domainLast,
                bypassAtStart,
                detachByEndpoint,
                identityBesideNone,
                endpointLimit,
                domainLimit,
                mappingLimit,
                tables,
                endpointMappings,
                endpointTables);
    }
}

package org.ioasis.iommu;

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
        long mappingLimit) {

    /**
     * 4 KiB granule, 64-bit addresses, boot bypass, and limits that a large guest stays well below.
     */
    public static final IommuOptions DEFAULT =
            new IommuOptions(0x1000, 0, -1L, 0, -1, true, true, false, 1 << 16, 1 << 12, 1L << 20);

    public IommuOptions {
        if (pageSizeMask == 0) {
            throw new IllegalArgumentException("page_size_mask needs at least one bit");
        }
        if (Long.compareUnsigned(inputLast, inputFirst) < 0) {
            throw new IllegalArgumentException(
                    "input range ends before it starts: 0x%x..0x%x"
                            .formatted(inputFirst, inputLast));
        }
        if (Integer.compareUnsigned(domainLast, domainFirst) < 0) {
            throw new IllegalArgumentException(
                    "domain range ends before it starts: 0x%x..0x%x"
                            .formatted(domainFirst, domainLast));
        }
        if (endpointLimit < 1 || domainLimit < 1 || mappingLimit < 1) {
            throw new IllegalArgumentException("limits must be at least 1");
        }
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
                mappingLimit);
    }
}

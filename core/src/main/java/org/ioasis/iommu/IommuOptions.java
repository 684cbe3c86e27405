// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.OptionalLong;
import org.ioasis.memory.Ranges;

/**
 * How one IOMMU is built. Immutable.
 *
 * @param name what recordings call it
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
 * @param pageRequestNanos how long a driver has to answer a group of page requests, and a device to
 *     end it, by the clock of the IOMMU's guards; 0: for ever. Then the group is answered as
 *     invalid.
 */
public record IommuOptions(
        String name,
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
        long endpointTableLimit,
        long pageRequestNanos) {

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
    public static final IommuOptions DEFAULT = builder().build();

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
        if (pageRequestNanos < 0) {
            throw new IllegalArgumentException(
                    "page requests are answered after %d ns".formatted(pageRequestNanos));
        }
    }

    /** True if a domain may have this number. */
    public boolean hasDomain(int id) {
        return Integer.compareUnsigned(id, domainFirst) >= 0
                && Integer.compareUnsigned(id, domainLast) <= 0;
    }

    /** Options one by one, beginning with {@link #DEFAULT}. */
    public static Builder builder() {
        return new Builder();
    }

    /** Options one by one, beginning with these. */
    public Builder toBuilder() {
        return builder()
                .name(name)
                .pageSizeMask(pageSizeMask)
                .inputRange(inputFirst, inputLast)
                .domainRange(domainFirst, domainLast)
                .bypassAtStart(bypassAtStart)
                .detachByEndpoint(detachByEndpoint)
                .identityBesideNone(identityBesideNone)
                .endpointLimit(endpointLimit)
                .domainLimit(domainLimit)
                .mappingLimit(mappingLimit)
                .tableLimit(tableLimit)
                .endpointMappingLimit(endpointMappingLimit)
                .endpointTableLimit(endpointTableLimit)
                .pageRequestNanos(pageRequestNanos);
    }

    /** Options one by one. One thread. */
    public static final class Builder {
        private String name = "iommu";
        private long pageSizeMask = 0x1000;
        private long inputFirst;
        private long inputLast = -1L;
        private int domainFirst;
        private int domainLast = -1;
        private boolean bypassAtStart = true;
        private boolean detachByEndpoint = true;
        private boolean identityBesideNone;
        private int endpointLimit = 1 << 16;
        private int domainLimit = 1 << 12;
        private long mappingLimit = 1L << 20;
        private long tableLimit = TABLE_LIMIT;
        private OptionalLong endpointMappingLimit = OptionalLong.empty();
        private long endpointTableLimit = TABLE_LIMIT;
        private long pageRequestNanos;

        private Builder() {}

        public Builder name(String value) {
            name = value;
            return this;
        }

        public Builder pageSizeMask(long value) {
            pageSizeMask = value;
            return this;
        }

        public Builder inputRange(long first, long last) {
            inputFirst = first;
            inputLast = last;
            return this;
        }

        public Builder domainRange(int first, int last) {
            domainFirst = first;
            domainLast = last;
            return this;
        }

        public Builder bypassAtStart(boolean value) {
            bypassAtStart = value;
            return this;
        }

        public Builder detachByEndpoint(boolean value) {
            detachByEndpoint = value;
            return this;
        }

        public Builder identityBesideNone(boolean value) {
            identityBesideNone = value;
            return this;
        }

        public Builder endpointLimit(int value) {
            endpointLimit = value;
            return this;
        }

        public Builder domainLimit(int value) {
            domainLimit = value;
            return this;
        }

        public Builder mappingLimit(long value) {
            mappingLimit = value;
            return this;
        }

        public Builder tableLimit(long value) {
            tableLimit = value;
            return this;
        }

        /** As many as over all domains unless it is called. */
        public Builder endpointMappingLimit(long value) {
            endpointMappingLimit = OptionalLong.of(value);
            return this;
        }

        public Builder endpointTableLimit(long value) {
            endpointTableLimit = value;
            return this;
        }

        public Builder pageRequestNanos(long value) {
            pageRequestNanos = value;
            return this;
        }

        public IommuOptions build() {
            return new IommuOptions(
                    name,
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
                    tableLimit,
                    endpointMappingLimit.orElse(mappingLimit),
                    endpointTableLimit,
                    pageRequestNanos);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.function.Function;
import org.ioasis.iommu.mapping.RunVisitor;
import org.ioasis.memory.Ranges;
import org.jspecify.annotations.Nullable;

/**
 * Everything that a request can be refused for, with what it is answered and why, for people. The
 * checks return one of these: so the order in which things are checked stands once, and whoever
 * explains a refusal does not check again. Immutable; explaining belongs to the loop thread, and
 * right after the refusal, while nothing has changed.
 */
public enum Refusal {
    // What is about the form of a request, whatever it asks.

    RESERVED_BITS(Status.INVAL, _ -> "reserved is not 0"),
    UNKNOWN_FLAGS(Status.INVAL, asked -> "unknown flags 0x%x".formatted(asked.flags)),
    NOT_NEGOTIATED(Status.UNSUPP, _ -> "VIRTIO_IOMMU_F_MAP_UNMAP is not negotiated"),
    SMALL_BUFFER(Status.INVAL, _ -> "the buffer is smaller than probe_size"),
    PLANTED(Status.NOMEM, _ -> "planted"),

    // Endpoints and domains

    NO_ENDPOINT(
            Status.NOENT,
            asked ->
                    "there is no endpoint 0x%x: the topology table and the server disagree"
                            .formatted(asked.endpoint)),
    DOMAIN_OUT_OF_RANGE(
            Status.RANGE,
            asked ->
                    "domain 0x%x is outside of domain_range 0x%x..0x%x"
                            .formatted(
                                    asked.domain,
                                    asked.options().domainFirst(),
                                    asked.options().domainLast())),
    OTHER_KIND(
            Status.INVAL,
            asked -> "domain 0x%x exists already and is %s".formatted(asked.domain, asked.kind())),
    DOES_NOT_FIT(
            Status.UNSUPP,
            asked ->
                    "the endpoint's page sizes, input range or reserved regions do not fit domain 0x%x"
                            .formatted(asked.domain)),
    DOMAIN_LIMIT(
            Status.NOMEM,
            asked -> "limit of %d domains is reached".formatted(asked.options().domainLimit())),
    NOT_ATTACHED(Status.INVAL, asked -> "endpoint 0x%x is not attached".formatted(asked.endpoint)),
    OTHER_DOMAIN(
            Status.INVAL,
            asked ->
                    "endpoint 0x%x is attached to domain 0x%x and not 0x%x"
                            .formatted(asked.endpoint, asked.attachedTo(), asked.domain)),
    NO_DOMAIN(
            Status.NOENT,
            asked -> "there is no domain 0x%x: nothing is attached to it".formatted(asked.domain)),
    NO_MAPPINGS(
            Status.INVAL,
            asked -> "domain 0x%x is %s and has no mappings".formatted(asked.domain, asked.kind())),

    // Tables of the driver's own

    NO_PROFILE(Status.UNSUPP, _ -> "the feature that the request belongs to is not negotiated"),
    UNKNOWN_FORMAT(Status.UNSUPP, _ -> "no format of tables is known by this number"),
    NO_TABLE(Status.INVAL, _ -> "no table can be of this width, at this address, or so flagged"),
    NO_PASID(Status.RANGE, _ -> "the PASID has more bits than there are"),
    PASID_LIMIT(
            Status.NOMEM,
            asked ->
                    "limit of %d PASIDs of endpoint 0x%x is reached"
                            .formatted(Endpoint.PASID_LIMIT, asked.endpoint)),
    OTHER_TABLE(
            Status.INVAL,
            asked -> "domain 0x%x exists already and has another table".formatted(asked.domain)),
    NO_TABLES(
            Status.UNSUPP,
            asked ->
                    "endpoint 0x%x has an input range, page sizes, identity regions or a listener, which a table of the driver's own, or of a PASID of it, would not keep to"
                            .formatted(asked.endpoint)),
    NO_HANDED_TABLE(
            Status.INVAL,
            asked -> "domain 0x%x is %s and has no table".formatted(asked.domain, asked.kind())),
    NO_SCOPE(Status.INVAL, _ -> "what is to be invalidated makes no sense"),
    SCOPE_WRAPS(Status.RANGE, _ -> "the range goes beyond the last address"),
    NO_RESPONSE(Status.INVAL, _ -> "no response to a page request has this code or flag"),
    NO_GROUP(
            Status.NOENT,
            asked ->
                    "no such group of page requests of endpoint 0x%x is open"
                            .formatted(asked.endpoint)),

    // Ranges

    BACKWARD(Status.INVAL, _ -> "the range ends before it starts"),
    UNALIGNED(
            Status.RANGE,
            asked -> {
                long granule = asked.paging().granule();
                String what =
                        (asked.first & (granule - 1)) != 0
                                ? "virt_start"
                                : (asked.output & (granule - 1)) != 0
                                        ? "phys_start"
                                        : "virt_end + 1";
                return "%s is not aligned to the granule 0x%x".formatted(what, granule);
            }),
    OUTPUT_WRAPS(Status.RANGE, _ -> "the physical range wraps around the end of the address space"),
    OUTSIDE_INPUT(
            Status.RANGE,
            asked ->
                    "outside of the input range 0x%x..0x%x"
                            .formatted(asked.paging().inputFirst(), asked.paging().inputLast())),
    RESERVED_REGION(
            Status.INVAL,
            asked -> {
                for (ReservedRegion region : asked.paging().reserved().regions()) {
                    if (region.overlaps(asked.first, asked.last)) {
                        return "overlaps the %s region 0x%x..0x%x"
                                .formatted(region.kind(), region.first(), region.last());
                    }
                }
                return "overlaps a reserved region";
            }),
    OVERLAPS(
            Status.INVAL,
            asked -> "overlaps the mapping " + asked.mappingAt(asked.first, asked.last, false)),
    CUTS(
            Status.RANGE,
            asked -> {
                // Only a mapping at an edge can reach over it.
                String atFirst = asked.mappingAt(asked.first, asked.first, true);
                return "cuts through the mapping "
                        + (atFirst.isEmpty()
                                ? asked.mappingAt(asked.last, asked.last, true)
                                : atFirst);
            }),

    // Limits

    MAPPING_LIMIT(
            Status.NOMEM,
            asked -> "limit of %d mappings is reached".formatted(asked.options().mappingLimit())),
    ENDPOINT_MAPPING_LIMIT(
            Status.NOMEM,
            asked ->
                    "limit of %d mappings for the endpoints of domain 0x%x is reached"
                            .formatted(asked.paging().mappingLimit(), asked.domain)),
    TABLE_MEMORY(
            Status.NOMEM,
            _ ->
                    "the IOMMU's memory for mapping tables has no room for the tables of this mapping");

    private final Status status;

    @SuppressWarnings("ImmutableEnumChecker") // functions of what they are given
    private final Function<Question, String> explanation;

    Refusal(Status status, Function<Question, String> explanation) {
        this.status = status;
        this.explanation = explanation;
    }

    /** What the request is answered. */
    public Status status() {
        return status;
    }

    /** Why, with the numbers of what was asked. */
    public String explain(Question asked) {
        return explanation.apply(asked);
    }

    /**
     * What was asked, as far as it matters.
     *
     * @param endpoint id, 32-bit unsigned
     * @param domain id, 32-bit unsigned
     * @param found the domain of that id, if there is one
     * @param flags those that are not known
     */
    public record Question(
            Iommu iommu,
            int endpoint,
            int domain,
            @Nullable Domain found,
            long first,
            long last,
            long output,
            int flags) {

        private IommuOptions options() {
            return iommu.options();
        }

        private long attachedTo() {
            Endpoint present = iommu.endpoint(endpoint);
            return present == null ? -1 : present.domainId();
        }

        private String kind() {
            return switch (found) {
                case PagingDomain _ -> "one for mappings";
                case TableDomain _ -> "one with a table of the driver's own";
                case null, default -> "a bypass domain";
            };
        }

        private PagingDomain paging() {
            if (found instanceof PagingDomain paging) {
                return paging;
            }
            throw new IllegalStateException("a refusal of mappings where there are none");
        }

        /**
         * The first mapping that touches a range, or only one that is not whole in what was asked.
         */
        private String mappingAt(long from, long to, boolean isCut) {
            String[] text = {""};
            RunVisitor visitor =
                    (start, end, _, _) -> {
                        if (!isCut || !Ranges.covers(first, last, start, end)) {
                            text[0] = "0x%x..0x%x".formatted(start, end);
                        }
                        return false;
                    };
            paging().mappings(from, to, visitor);
            return text[0];
        }
    }
}

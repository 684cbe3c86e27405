// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.ioasis.spec.VirtioIommu.*;

import org.jspecify.annotations.Nullable;

/**
 * Where an access of {@link Requests#DMA_ENDPOINT} leads, by the state that both devices are in.
 * Immutable; any thread.
 *
 * @param isAttached the endpoint has a domain
 * @param isIdentity it reaches everything: by the bypass of its domain, or by that of the device
 * @param mapping what translates it, or null
 * @param next a mapping that begins right behind the access, or null
 */
record Reach(
        Step.Access access,
        boolean isAttached,
        boolean isIdentity,
        CommonState.@Nullable Mapping mapping,
        CommonState.@Nullable Mapping next) {
    private static final long ABOVE_MEMORY = 1L << 32;

    static Reach of(CommonState state, Step.Access access) {
        int endpoint = Requests.DMA_ENDPOINT;
        Integer id = state.domainOf(endpoint);
        CommonState.Domain domain = id == null ? null : state.domain(id);
        return new Reach(
                access,
                domain != null,
                domain == null ? state.isBypassing() : domain.isBypass(),
                state.mappingAt(endpoint, access.iova()),
                beginningAt(domain, access.iova() + access.length()));
    }

    private static CommonState.@Nullable Mapping beginningAt(
            CommonState.@Nullable Domain domain, long first) {
        return domain == null ? null : domain.mappings().get(first);
    }

    /** What it changes is watched, and it cannot change what the comparison itself lives on. */
    boolean isObservable() {
        if (isIdentity) {
            return isHarmless(access.iova());
        }
        return isHarmlessBy(mapping) && isHarmlessBy(next);
    }

    private boolean isHarmlessBy(CommonState.@Nullable Mapping chosen) {
        return chosen == null || isHarmless(chosen.output() + (access.iova() - chosen.first()));
    }

    private boolean isHarmless(long address) {
        return isWatched(address) || Long.compareUnsigned(address, ABOVE_MEMORY) >= 0;
    }

    private boolean isWatched(long address) {
        return Windows.contain(address, access.length());
    }

    /** Flags of the report when it is refused. */
    int faultFlags() {
        return (access.isWrite() ? FAULT_F_WRITE : FAULT_F_READ) | FAULT_F_ADDRESS;
    }

    /**
     * What comes of it when this mapping translates it, or none does. A mapping that begins right
     * behind it counts as one that begins earlier.
     */
    Effect through(CommonState.@Nullable Mapping chosen) {
        // The bits of mappings and of reports have the same values.
        if (chosen == null || (chosen.flags() & faultFlags()) == 0) {
            return new Effect(
                    Effect.NOTHING,
                    new Effect.Event(
                            FAULT_SIZE,
                            FAULT_R_MAPPING,
                            faultFlags(),
                            Requests.DMA_ENDPOINT,
                            0,
                            access.iova()));
        }
        long target = chosen.output() + (access.iova() - chosen.first());
        boolean isSeen = access.isWrite() && isWatched(target);
        return new Effect(isSeen ? "0x%x".formatted(target) : Effect.NOTHING, null);
    }
}

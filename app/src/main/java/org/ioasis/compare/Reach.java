package org.ioasis.compare;

import static org.ioasis.spec.VirtioIommu.*;

import org.jspecify.annotations.Nullable;

/**
 * Where an access of {@link Requests#DMA_ENDPOINT} leads, by the state that both devices are in.
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
        DeviceState.@Nullable Mapping mapping,
        DeviceState.@Nullable Mapping next) {
    private static final long ABOVE_MEMORY = 1L << 32;

    static Reach of(DeviceState state, Step.Access access) {
        int endpoint = Requests.DMA_ENDPOINT;
        Integer id = state.domainOf(endpoint);
        DeviceState.Domain domain = id == null ? null : state.domain(id);
        return new Reach(
                access,
                domain != null,
                domain == null ? state.isBypassing() : domain.isBypass(),
                state.mappingAt(endpoint, access.iova()),
                beginningAt(domain, access.iova() + access.length()));
    }

    private static DeviceState.@Nullable Mapping beginningAt(
            DeviceState.@Nullable Domain domain, long first) {
        return domain == null ? null : domain.mappings().get(first);
    }

    /** What it changes is watched, and it cannot change what the comparison itself lives on. */
    boolean isObservable() {
        if (isIdentity) {
            return isHarmless(access.iova());
        }
        return (mapping == null || isHarmless(mapping.output() + (access.iova() - mapping.first())))
                && (next == null || isHarmless(behindNext(next)));
    }

    private boolean isHarmless(long address) {
        return isWatched(address) || Long.compareUnsigned(address, ABOVE_MEMORY) >= 0;
    }

    private boolean isWatched(long address) {
        return Subject.WINDOWS.stream().anyMatch(w -> w.contains(address, access.length()));
    }

    private long behindNext(DeviceState.Mapping mapped) {
        return mapped.output() - access.length();
    }

    /** The flag of fault reports, which is also that of mappings. */
    int flag() {
        return access.isWrite() ? FAULT_F_WRITE : FAULT_F_READ;
    }

    /** What is changed when the next mapping translates the access as if it began earlier. */
    Effect throughNext() {
        boolean isSeen = next != null && access.isWrite() && isWatched(behindNext(next));
        return new Effect(
                isSeen && next != null ? "0x%x".formatted(behindNext(next)) : Effect.NOTHING, null);
    }

    /** The next mapping would allow the access. */
    boolean isAllowedByNext() {
        return next != null && (next.flags() & flag()) != 0;
    }
}

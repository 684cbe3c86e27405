// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import org.ioasis.iommu.ReservedRegion.Kind;
import org.jspecify.annotations.Nullable;

/**
 * The reserved windows of a set of endpoints: sorted, disjoint, neighbours of one kind merged.
 * Immutable; combining is a pure function.
 *
 * <p>Two endpoints in one domain combine per address by the table of the virtio-iommu v0.4 thread
 * (2017), N none, R reserved, M msi, I identity: N+N=N, N+R=R, N+M=M, R+R=R, R+M=R, M+M=M, R+I=I,
 * M+I=I, I+I=I. N+I is dangerous: the endpoint without the region would reach the firmware memory
 * of the other one.
 */
public final class ReservedWindows {
    public static final ReservedWindows NONE = new ReservedWindows(List.of());

    private final List<ReservedRegion> regions;

    // The same once more, for the request path, which mostly finds that there are none.
    private final ReservedRegion[] sorted;

    private ReservedWindows(List<ReservedRegion> regions) {
        this.regions = List.copyOf(regions);
        sorted = regions.toArray(new ReservedRegion[0]);
    }

    /**
     * The windows of one endpoint: overlapping regions are resolved as if they came from two
     * endpoints.
     */
    public static ReservedWindows of(List<ReservedRegion> regions) {
        ReservedWindows all = NONE;
        for (ReservedRegion region : regions) {
            all = all.combine(new ReservedWindows(List.of(region)));
        }
        return all;
    }

    public List<ReservedRegion> regions() {
        return regions;
    }

    /** True if some address of {@code first..last} is reserved. Allocates nothing. */
    public boolean overlaps(long first, long last) {
        return sorted.length != 0 && overlapsAny(first, last);
    }

    private boolean overlapsAny(long first, long last) {
        for (ReservedRegion region : sorted) {
            if (region.overlaps(first, last)) {
                return true;
            }
        }
        return false;
    }

    /** Union with {@code other} by the table, N+I giving I. */
    public ReservedWindows combine(ReservedWindows other) {
        List<ReservedRegion> combined = new ArrayList<>();
        for (long[] piece : pieces(other)) {
            Kind kind = combine(kindAt(piece[0]), other.kindAt(piece[0]));
            if (kind != null) {
                append(combined, new ReservedRegion(piece[0], piece[1], kind));
            }
        }
        return new ReservedWindows(combined);
    }

    /** True if an address is an identity region on one side and nothing on the other. */
    public boolean exposesIdentity(ReservedWindows other) {
        for (long[] piece : pieces(other)) {
            Kind a = kindAt(piece[0]);
            Kind b = other.kindAt(piece[0]);
            if ((a == Kind.IDENTITY && b == null) || (b == Kind.IDENTITY && a == null)) {
                return true;
            }
        }
        return false;
    }

    private static @Nullable Kind combine(@Nullable Kind a, @Nullable Kind b) {
        if (a == null || a == b) {
            return b;
        }
        if (b == null) {
            return a;
        }
        // Two different kinds: identity wins over both, reserved wins over MSI.
        return a == Kind.IDENTITY || b == Kind.IDENTITY ? Kind.IDENTITY : Kind.RESERVED;
    }

    /** The address space cut at every border of either side: within a piece nothing changes. */
    private List<long[]> pieces(ReservedWindows other) {
        TreeSet<Long> starts = new TreeSet<>(Long::compareUnsigned);
        starts.add(0L);
        for (List<ReservedRegion> side : List.of(regions, other.regions)) {
            for (ReservedRegion region : side) {
                starts.add(region.first());
                if (region.last() != -1L) {
                    starts.add(region.last() + 1);
                }
            }
        }
        List<long[]> pieces = new ArrayList<>();
        for (Long start : starts) {
            Long next = starts.higher(start);
            pieces.add(new long[] {start, next == null ? -1L : next - 1});
        }
        return pieces;
    }

    /** The identity region that {@code iova} lies in, or null. Allocates nothing. */
    @Nullable ReservedRegion identityAt(long iova) {
        for (ReservedRegion region : sorted) {
            if (region.kind() == Kind.IDENTITY && region.overlaps(iova, iova)) {
                return region;
            }
        }
        return null;
    }

    private @Nullable Kind kindAt(long iova) {
        for (ReservedRegion region : regions) {
            if (region.overlaps(iova, iova)) {
                return region.kind();
            }
        }
        return null;
    }

    private static void append(List<ReservedRegion> regions, ReservedRegion next) {
        if (!regions.isEmpty()) {
            ReservedRegion previous = regions.getLast();
            if (previous.last() + 1 == next.first() && previous.kind() == next.kind()) {
                regions.removeLast();
                regions.add(new ReservedRegion(previous.first(), next.last(), next.kind()));
                return;
            }
        }
        regions.add(next);
    }
}

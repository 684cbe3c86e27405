// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import org.ioasis.memory.Access;
import org.ioasis.memory.Ranges;
import org.jspecify.annotations.Nullable;

/**
 * What a lookup found: a piece of one mapping. Filled by {@link Translation#lookup}; reused by its
 * owner, so that a translation allocates nothing. One thread.
 */
public final class Extent {
    /** Of who asks without a PASID. */
    public static final int NO_PASID = -1;

    private final int pasid;
    long last;
    long delta;
    int flags;

    // Where a radix store found the last leaf, for the next step of the same access.
    long slot;
    int shift;

    // Of the translation that was asked last, if it is one that walks.
    private @Nullable Workspace workspace;

    /** For who asks without a PASID. */
    public Extent() {
        this(NO_PASID);
    }

    /**
     * @param pasid of who asks, or {@link #NO_PASID}
     */
    public Extent(int pasid) {
        this.pasid = pasid;
    }

    /** What translations ask that have something to say of each PASID. */
    public int pasid() {
        return pasid;
    }

    /**
     * A new guarded section begins: the table that the last leaf was found in may be another's now.
     */
    public void forget() {
        last = -1;
        slot = -1; // the end of a table, after which nothing comes
    }

    /**
     * For a translation that finds it elsewhere than in a table of ours.
     *
     * @param mapFlags {@link MapFlags}
     */
    public void set(long lastAddress, long outputMinusIova, int mapFlags) {
        last = lastAddress;
        delta = outputMinusIova;
        flags = mapFlags;
    }

    /** What a translation that walks has left here, or null. */
    public @Nullable Workspace workspace() {
        return workspace;
    }

    /** Leaves something here for the next time. */
    public void workspace(Workspace next) {
        workspace = next;
    }

    /** Last address, inclusive, up to which {@link #delta} and {@link #flags} hold. */
    public long last() {
        return last;
    }

    /** Output address minus IOVA, modulo 2^64. */
    public long delta() {
        return delta;
    }

    /** True if it covers {@code length >= 1} bytes from {@code iova} on, which lies in it. */
    public boolean reaches(long iova, long length) {
        return Ranges.isAtMost(length - 1, last - iova);
    }

    /** {@link MapFlags} of the mapping. */
    public int flags() {
        return flags;
    }

    /** True if the mapping has the permission for {@code access}. */
    public boolean permits(Access access) {
        return (flags & access.bit()) != 0;
    }
}

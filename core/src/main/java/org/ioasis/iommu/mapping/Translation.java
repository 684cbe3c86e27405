// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import org.ioasis.memory.Access;
import org.ioasis.memory.Outcome;

/**
 * What an address becomes: what a domain is to those that access memory through it. One kind is
 * mapped and changes ({@link MappingStore}), one walks a table that somebody else changes, others
 * are the same for ever. Any thread, inside a guarded section, without a lock; an access chooses
 * its translation once, when its section begins.
 *
 * <p>A class and no interface: where one subclass is loaded, the compiler then calls it without
 * asking which it is.
 */
public abstract class Translation {
    /** Kinds of translation, for those who count, explain or keep a copy. */
    public enum Kind {
        /** Nobody has decided: attached to no domain, and let through as it is. */
        BYPASS,
        /** The driver has asked for memory as it is. */
        IDENTITY,
        /** Nothing is reached. */
        BLOCKED,
        /** Mappings say what is reached. */
        MAPPED,
        /** A table that is walked says it, of the guest's own or of whoever stands behind it. */
        WALKED
    }

    /** Answer of {@link #translate}: look closer. */
    public static final long UNCLEAR = -1;

    private final Kind kind;

    protected Translation(Kind kind) {
        this.kind = kind;
    }

    public final Kind kind() {
        return kind;
    }

    /**
     * The common case in one step: the output address of an access of {@code length >= 1} bytes
     * that needs the permissions {@code flags}, if all of it is permitted and lies where one look
     * can tell; else {@link #UNCLEAR}, and a {@link #lookup} says more.
     */
    public abstract long translate(long iova, long length, int flags);

    /**
     * Finds what {@code iova} leads to. False if to nothing. What is found may reach less far than
     * the mapping, but covers {@code length >= 1} bytes if a few steps can find so many.
     */
    public final boolean lookup(long iova, long length, Extent found) {
        if (!lookup(iova, found)) {
            return false;
        }
        if (!found.reaches(iova, length)) {
            extend(iova, length, found);
        }
        return true;
    }

    /** As {@link #lookup(long, long, Extent)} for one byte. */
    public abstract boolean lookup(long iova, Extent found);

    /**
     * As {@link #lookup(long, long, Extent)} for an access that needs the permissions {@code
     * flags}: what is walked is marked by it, and may be absent. If OK, what is found permits it.
     */
    public Outcome access(long iova, long length, int flags, Extent found) {
        return lookup(iova, length, found) && (flags & ~found.flags) == 0
                ? Outcome.OK
                : Outcome.FAULT;
    }

    /**
     * Makes what a lookup of {@code iova} has just found reach further, if a few steps can tell
     * that {@code length} bytes lead on alike. In the section of the lookup.
     */
    public void extend(long iova, long length, Extent found) {
        // What is found is all there is.
    }

    /**
     * As {@link #lookup(long, Extent)}, for {@code iova} right after {@code found}, which was
     * filled in the same guarded section, or {@linkplain Extent#forget forgotten}. False, and
     * {@code found} untouched, says only that a lookup must tell.
     */
    public boolean lookupNext(long iova, Extent found) {
        return false;
    }

    /**
     * Why {@code access} to {@code iova} is refused, for people; what changes meanwhile may make it
     * inexact.
     *
     * @param name what they know this by
     */
    public abstract String explain(String name, long iova, Access access);
}

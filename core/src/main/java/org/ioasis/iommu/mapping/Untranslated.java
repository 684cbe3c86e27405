// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import org.ioasis.memory.Access;

/** Memory as it is: every address leads to itself. Any thread. */
public final class Untranslated extends Translation {
    /** For who is attached to nothing. */
    public static final Translation BYPASS = new Untranslated(Kind.BYPASS);

    /** For an identity domain. */
    public static final Translation IDENTITY = new Untranslated(Kind.IDENTITY);

    private Untranslated(Kind kind) {
        super(kind);
    }

    @Override
    public long translate(long iova, long length, int flags) {
        return UNCLEAR; // as -1 is an address here like any other, a lookup must tell
    }

    @Override
    public boolean lookup(long iova, Extent found) {
        found.set(-1L, 0, MapFlags.READ | MapFlags.WRITE);
        return true;
    }

    @Override
    public String explain(String name, long iova, Access access) {
        return "the endpoint has moved to a bypass domain since";
    }
}

// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import org.ioasis.memory.Access;

/** Nothing is reached. Any thread. */
public final class Blocked extends Translation {
    public static final Translation BLOCKED = new Blocked();

    private Blocked() {
        super(Kind.BLOCKED);
    }

    @Override
    public long translate(long iova, long length, int flags) {
        return UNCLEAR;
    }

    @Override
    public boolean lookup(long iova, Extent found) {
        return false;
    }

    @Override
    public String explain(String name, long iova, Access access) {
        return name + " lets nothing through";
    }
}

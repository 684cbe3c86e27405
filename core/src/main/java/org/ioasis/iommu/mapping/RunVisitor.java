// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

/** Told of runs of mappings in order of address, until it has heard enough. */
@FunctionalInterface
public interface RunVisitor {
    /**
     * {@code first..last} (inclusive) leads to {@code output} and on, with {@code flags}
     * throughout. True to be told of the next.
     */
    boolean run(long first, long last, long output, int flags);
}

// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

/**
 * Joins neighbours that differ in nothing but where they begin: takes mappings in order and passes
 * on runs. One thread.
 */
final class RunMerger implements RunVisitor {
    private final RunVisitor next;
    private boolean isEnough;
    private boolean isOpen;
    private long first;
    private long last;
    private long output;
    private int flags;

    RunMerger(RunVisitor next) {
        this.next = next;
    }

    @Override
    public boolean run(long first, long last, long output, int flags) {
        if (isOpen
                && this.last + 1 == first
                && this.output - this.first == output - first
                && this.flags == flags) {
            this.last = last;
            return true;
        }
        end();
        if (isEnough) {
            return false;
        }
        isOpen = true;
        this.first = first;
        this.last = last;
        this.output = output;
        this.flags = flags;
        return true;
    }

    /** Passes on the last run. */
    void end() {
        if (isOpen) {
            isEnough = !next.run(first, last, output, flags);
            isOpen = false;
        }
    }
}

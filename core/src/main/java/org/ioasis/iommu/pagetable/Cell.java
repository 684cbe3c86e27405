// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/** Where a {@link TableAccess} puts the word that it has read. One thread. */
public final class Cell {
    private long word;

    public long word() {
        return word;
    }

    public void set(long word) {
        this.word = word;
    }
}

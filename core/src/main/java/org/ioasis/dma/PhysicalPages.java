// SPDX-License-Identifier: Apache-2.0
package org.ioasis.dma;

/** Where memory for a program and its device comes from. */
public interface PhysicalPages {
    /** There is none. */
    long NONE = -1;

    /** Memory that follows each other, of whole pages and beginning at one; or {@link #NONE}. */
    long take(long bytes);

    /** Gives back what {@link #take} has given. */
    void giveBack(long address, long bytes);
}

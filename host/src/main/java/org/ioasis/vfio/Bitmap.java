// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import org.ioasis.iommufd.IommufdException;

/**
 * A bitmap that a program wants to have filled: a bit for each page, in words of 64. Valid during
 * the call.
 */
public interface Bitmap {
    /** What stands in a word. */
    long read(long word) throws IommufdException;

    /** Writes words from one on. */
    void write(long word, long[] from, int count) throws IommufdException;
}

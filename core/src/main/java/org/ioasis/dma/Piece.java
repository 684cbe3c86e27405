// SPDX-License-Identifier: Apache-2.0
package org.ioasis.dma;

/**
 * Bytes that follow each other: in physical memory, or as a device sees them.
 *
 * @param length at least 1
 */
public record Piece(long address, long length) {
    public Piece {
        if (length < 1 || Long.compareUnsigned(address, address + (length - 1)) > 0) {
            throw new IllegalArgumentException("%d bytes at 0x%x".formatted(length, address));
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Descriptors of a VT-d invalidation queue (Intel Virtualization Technology for Directed I/O,
 * 6.5.2), as little-endian 64-bit words: masks and shifts in those. Queues of descriptors twice the
 * size have zeros in the rest of what is here.
 */
public final class VtdQueue {
    /** Bytes of a descriptor, or half of them. */
    public static final int SIZE = 16;

    /** Type, in word 0; three more bits of it stand apart and are zero in all that is here. */
    public static final int TYPE_MASK = 0xf;

    public static final long TYPE_HIGH = 7L << 9;

    public static final int CONTEXT_CACHE = 1;
    public static final int IOTLB = 2;
    public static final int DEVICE_TLB = 3;
    public static final int INTERRUPT_ENTRIES = 4;
    public static final int WAIT = 5;
    public static final int PASID_IOTLB = 6;
    public static final int PASID_CACHE = 7;
    public static final int PASID_DEVICE_TLB = 8;

    public static final int GRANULARITY_SHIFT = 4;
    public static final int GRANULARITY_MASK = 3;

    // Granularities; 0 is reserved where it is not named.
    public static final int CONTEXT_GLOBAL = 1;
    public static final int CONTEXT_DOMAIN = 2;
    public static final int CONTEXT_DEVICE = 3;
    public static final int IOTLB_GLOBAL = 1;
    public static final int IOTLB_DOMAIN = 2;
    public static final int IOTLB_PAGES = 3;
    public static final int PASID_IOTLB_ALL = 2;
    public static final int PASID_IOTLB_PAGES = 3;
    public static final int PASID_CACHE_DOMAIN = 0;
    public static final int PASID_CACHE_ONE = 1;
    public static final int PASID_CACHE_GLOBAL = 3;

    /** DID, in word 0 of all that name a domain. */
    public static final int DOMAIN_SHIFT = 16;

    public static final int DOMAIN_MASK = 0xffff;

    /** PASID, in word 0. */
    public static final int PASID_SHIFT = 32;

    public static final int PASID_MASK = 0xf_ffff;

    /** Source of a context-cache and a device-TLB descriptor, in word 0. */
    public static final int SOURCE_SHIFT = 32;

    public static final int SOURCE_MASK = 0xffff;

    /** FM of a context-cache descriptor: so many low bits of the source do not count. */
    public static final int FUNCTION_MASK_SHIFT = 48;

    public static final int FUNCTION_MASK_MASK = 3;

    /** Source of a PASID device-TLB descriptor. */
    public static final int PASID_SOURCE_SHIFT = 16;

    // Word 1 of those with addresses.
    public static final int PAGES_LG2_MASK = 0x3f;
    public static final long ADDRESS_MASK = ~0xfffL;

    /** S of a device-TLB descriptor: the address says how much, by its lowest zero bit. */
    public static final long SIZE_BIT = 1;

    /** The same of one with a PASID. */
    public static final long PASID_SIZE_BIT = 1L << 11;

    /** G of such a one: of all PASIDs. */
    public static final long GLOBAL = 1;

    private VtdQueue() {}
}

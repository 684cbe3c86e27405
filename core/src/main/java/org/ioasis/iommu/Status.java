// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

/**
 * How a request to the IOMMU ended. The names are virtio's (1.4, 5.13.6); the engine knows no
 * numbers.
 */
public enum Status {
    OK,
    /** Communication with the driver failed. */
    IOERR,
    /** Not supported, or not possible with these endpoints together. */
    UNSUPP,
    /** The device itself failed. */
    DEVERR,
    /** Parameters that make no sense, or clash with what is there. */
    INVAL,
    /** Parameters outside what is allowed. */
    RANGE,
    /** No such endpoint or domain. */
    NOENT,
    /** Bad address. */
    FAULT,
    /** A limit is reached. */
    NOMEM
}

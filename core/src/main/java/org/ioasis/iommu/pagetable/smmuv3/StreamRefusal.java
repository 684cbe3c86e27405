// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable.smmuv3;

/** Why a stream has no translation, each with its event (SMMUv3, 7.3). Any thread. */
public enum StreamRefusal {
    /** The entry says so; there is no event. */
    ABORT,
    /** C_BAD_STREAMID: the table does not reach so far. */
    BAD_STREAM_ID,
    /** F_STE_FETCH: the entry's memory cannot be read. */
    STE_FETCH,
    /** C_BAD_STE: not valid, or with what no entry may say. */
    BAD_STE,
    /**
     * F_STREAM_DISABLED: not for requests without a substream, or for the one that stands for it.
     */
    STREAM_DISABLED,
    /** C_BAD_SUBSTREAMID: no descriptor for this substream. */
    BAD_SUBSTREAM_ID,
    /** F_CD_FETCH: the descriptor's memory cannot be read. */
    CD_FETCH,
    /** The second stage does not lead to the descriptor: its fault, of class CD. */
    CD_BEHIND_STAGE2,
    /** C_BAD_CD: not valid, or with what no descriptor may say. */
    BAD_CD,
    /** F_TRANSLATION: the descriptor has no table (EPD0). */
    TRANSLATION
}

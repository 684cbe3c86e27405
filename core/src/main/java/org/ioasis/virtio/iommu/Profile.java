// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommuTables.F_ATTACH_TABLE;
import static org.ioasis.spec.VirtioIommuTables.F_PAGE_REQUEST;

import org.jspecify.annotations.Nullable;

/**
 * What a device can be asked to be beyond virtio 1.4: drafts, whose numbers clash with those of
 * other drafts, so that a device has one of them at most, and none unless it is asked for. Any
 * thread.
 */
public enum Profile {
    /**
     * Page tables of the driver's own in the formats of ARM, as the drafts of 2018 to 2021 hand
     * them over: tables of one space, or context descriptors for every PASID of an endpoint;
     * invalidations and page requests as those of 2021 have them.
     */
    TABLES_2021("tables-2021", F_ATTACH_TABLE | F_PAGE_REQUEST),

    /**
     * Page tables of the driver's own in the format of a VT-d first level, as a draft of 2023 hands
     * them over, a PASID each if it likes; invalidations and page requests as the drafts of 2021
     * have them.
     */
    TABLES_2023("tables-2023", F_ATTACH_TABLE | F_PAGE_REQUEST);

    private final String label;
    private final long features;

    Profile(String label, long features) {
        this.label = label;
        this.features = features;
    }

    /** What it is called in configurations. */
    public String label() {
        return label;
    }

    /** Feature bits that it adds. */
    public long features() {
        return features;
    }

    /** The one of that name, or null. */
    public static @Nullable Profile of(String label) {
        for (Profile profile : values()) {
            if (profile.label.equals(label)) {
                return profile;
            }
        }
        return null;
    }
}

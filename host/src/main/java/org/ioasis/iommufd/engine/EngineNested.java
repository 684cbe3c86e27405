// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.engine;

import org.ioasis.iommu.Domain;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.NestedDomain;
import org.jspecify.annotations.Nullable;

/**
 * A table of a guest in front of a domain of the engine: devices that are attached to it go through
 * both. Under its context's lock.
 */
public abstract class EngineNested implements NestedDomain {
    protected final EngineDomain parent;

    protected EngineNested(EngineDomain parent) {
        this.parent = parent;
    }

    /** Refuses a device before anything has changed. */
    protected void check(EngineDevice device) throws IommufdException {}

    /**
     * Whether a guest's own table says what each PASID of a device has: then the device is attached
     * as a whole, and nothing to one of its PASIDs.
     */
    protected boolean ownsPasids() {
        return false;
    }

    /** What a device's requests with a PASID, or without one, go through; null: nothing. */
    protected abstract @Nullable Domain target(EngineDevice device, int pasid)
            throws IommufdException;

    /** A device is attached with all its PASIDs. */
    protected void joined(EngineDevice device) {}

    /** One that was attached with all its PASIDs is not any more. */
    protected void left(EngineDevice device) {}
}

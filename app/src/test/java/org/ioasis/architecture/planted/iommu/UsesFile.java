// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.iommu;

import java.io.File;

/** Breaks: the engine does no input and output. */
public final class UsesFile {
    private UsesFile() {}

    public static Object use() {
        return File.class;
    }
}

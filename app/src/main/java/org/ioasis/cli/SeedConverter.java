// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import org.ioasis.live.Unsigned;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Reads a seed as reports show it, or in decimal. Main thread. */
public final class SeedConverter implements ITypeConverter<Long> {
    @Override
    public Long convert(String text) {
        try {
            return Unsigned.parse(text);
        } catch (NumberFormatException e) {
            throw new TypeConversionException(text + " is not a number of 64 bits, as 0x1f or 31");
        }
    }
}

import {
  SetMetadata,
  UnsupportedMediaTypeException,
  type CanActivate,
  type CustomDecorator,
  type ExecutionContext,
} from '@nestjs/common';
import type { Request } from 'express';

const FORM_KEY = 'custody:form';

/** For a handler whose body is a multipart form, rather than JSON as of all others. */
export function TakesForm(): CustomDecorator {
  return SetMetadata(FORM_KEY, true);
}

/** A body of another media type than the call takes is refused as such, rather than read as an empty one. */
export class MediaTypeGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<Request>();
    const isForm = Reflect.getMetadata(FORM_KEY, context.getHandler()) === true;
    const wanted = isForm ? 'multipart/form-data' : 'application/json';
    const isEmpty = request.headers['content-length'] === '0';
    // `null`: there is no body.
    if (!isEmpty && request.is(wanted) === false)
      throw new UnsupportedMediaTypeException(`Send the body as ${wanted}.`);
    return true;
  }
}
